package pagetest

import "fmt"

// modelNetwork is a network of a demo, in the form of GET /v1/services/demo/network: the node of id is its first one,
// node 5 has stopped, and not all links are up.
func modelNetwork(id any, count int) obj {
	speaks := []string{"all", "comet", "libp2p tcp", "QUIC"}
	wire := func(a, b string) string { // that two have in common
		for _, w := range [][2]string{{"QUIC", "QUIC"}, {"libp2p tcp", "libp2p"}, {"comet", "comet"}} {
			if (a == "all" || a == w[0]) && (b == "all" || b == w[0]) {
				return w[1]
			}
		}
		return ""
	}
	const stopped = 5
	nodes, up, possible := []obj{}, 0, 0
	for i := 1; i <= count; i++ {
		n := obj{"number": i, "node_id": fmt.Sprintf("%040x", i), "speaks": speaks[(i-1)%4], "state": "running",
			"port": fmt.Sprint(23000 + i), "page": fmt.Sprintf("http://127.0.0.1:%d/", 24000+i), "knows": count - 1,
			"in": 900 * float64(i), "out": 800 * float64(i), "rtt_ns": 310_000}
		if i == 1 {
			n["node_id"] = id
		}
		links := []obj{}
		for k := 1; k <= count; k++ {
			w := wire(speaks[(i-1)%4], speaks[(k-1)%4])
			switch {
			case k == i:
			case w == "":
				links = append(links, obj{"to": k, "state": "never"})
			case i == stopped || k == stopped:
				links = append(links, obj{"to": k, "state": "away"})
			case min(i, k) == 2:
				links = append(links, obj{"to": k, "state": "missing"})
				possible++
			default:
				links = append(links, obj{"to": k, "state": "up", "wire": w, "in": 700 * float64(i+k),
					"out": 690 * float64(i+k), "rtt_ns": 280_000, "dialed": i > k})
				possible++
				up++
			}
		}
		if i == stopped {
			n["state"], n["in"], n["out"] = "stopped", 0, 0
		}
		n["links"] = links
		nodes = append(nodes, n)
	}
	return obj{"nodes": nodes, "links": up / 2, "possible": possible / 2, "formed_ns": 1_900_000_000,
		"all_linked": true,
		"items":      obj{"sent": 172, "expected": 1204, "arrived": 1203, "p50_ns": 400_000}, "page": ""}
}
