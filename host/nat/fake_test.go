package nat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
)

// gateway is a home router on a loopback address of its own: one UDP port for PCP and NAT-PMP, and UPnP.
type gateway struct {
	ip       netip.Addr
	external netip.Addr

	mu       sync.Mutex
	pcp      bool // speaks it
	pmp      bool
	pcpCode  byte   // of all answers
	upnp     bool   // answers searches
	fault    int    // of AddPortMapping with a lease
	taken    string // the outside port that another device has
	lead     string // where answers to searches lead instead
	mapped   map[port]uint16
	nonces   map[port][pcpNonce]byte
	requests []string
}

func newGateway(t *testing.T, last byte) *gateway {
	t.Helper()
	g := &gateway{ip: netip.AddrFrom4([4]byte{127, 44, 7, last}), external: netip.MustParseAddr("8.8.4.4"),
		mapped: map[port]uint16{}, nonces: map[port][pcpNonce]byte{}}
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: g.ip.AsSlice(), Port: pcpPort})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2000)
		for {
			n, from, err := conn.ReadFromUDP(buf)
			if err != nil {
				return
			}
			if answer := g.answer(buf[:n]); answer != nil {
				_, _ = conn.WriteToUDP(answer, from)
			}
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	return g
}

// set changes the gateway.
func (g *gateway) set(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
}

// state returns what is mapped.
func (g *gateway) state() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return fmt.Sprint(g.mapped)
}

func (g *gateway) answer(b []byte) []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case len(b) == pcpHeader+pcpMapSize && b[0] == pcpVersion && g.pcp:
		return g.answerPCP(b)
	case len(b) == pcpHeader && b[0] == pcpVersion && b[1] == 0 && g.pcp:
		return append([]byte{pcpVersion, pcpResponse, 0, g.pcpCode}, make([]byte, pcpHeader-4)...)
	case len(b) >= 2 && b[0] == pcpVersion && g.pmp: // RFC 6886, section 3.5
		return []byte{0, 0x80 | b[1], 0, 1, 0, 0, 0, 1}
	case len(b) == 2 && b[0] == 0 && g.pmp:
		ip := g.external.As4()
		return append([]byte{0, 0x80, 0, 0, 0, 0, 0, 1}, ip[:]...)
	case len(b) == 12 && b[0] == 0 && g.pmp:
		p := port{b[1] == 1, binary.BigEndian.Uint16(b[4:])}
		outside, life := binary.BigEndian.Uint16(b[6:]), binary.BigEndian.Uint32(b[8:])
		g.keep("nat-pmp", p, outside, life == 0)
		answer := append([]byte{0, 0x80 | b[1], 0, 0, 0, 0, 0, 1}, b[4:6]...)
		answer = binary.BigEndian.AppendUint16(answer, outside)
		return binary.BigEndian.AppendUint32(answer, life)
	}
	return nil
}

func (g *gateway) answerPCP(b []byte) []byte {
	answer := append([]byte{pcpVersion, pcpMap | pcpResponse, 0, g.pcpCode}, b[4:8]...)
	answer = append(answer, make([]byte, 16)...)
	body := append([]byte{}, b[pcpHeader:]...)
	p := port{body[12] == protocolUDP, binary.BigEndian.Uint16(body[16:])}
	if g.pcpCode == 0 {
		if old, ok := g.nonces[p]; ok && old != [pcpNonce]byte(body) {
			answer[3] = 2
		} else {
			outside := binary.BigEndian.Uint16(body[18:])
			ends := binary.BigEndian.Uint32(b[4:]) == 0
			g.nonces[p] = [pcpNonce]byte(body)
			g.keep("pcp", p, outside, ends)
			raw := g.external.As16()
			copy(body[20:], raw[:])
		}
	}
	return append(answer, body...)
}

// keep makes or deletes a mapping. The mutex is held.
func (g *gateway) keep(protocol string, p port, outside uint16, ends bool) {
	if ends {
		delete(g.mapped, p)
		delete(g.nonces, p)
	} else {
		g.mapped[p] = outside
	}
	g.requests = append(g.requests, fmt.Sprintf("%s %s %d %v", protocol, p, outside, ends))
}

// serveUPnP adds the devices of UPnP, and returns where they hear searches.
func (g *gateway) serveUPnP(t *testing.T) (group string) {
	t.Helper()
	ln, err := net.Listen("tcp4", netip.AddrPortFrom(g.ip, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: ln, Config: &http.Server{Handler: http.HandlerFunc(g.serveHTTP)}}
	server.Start()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: g.ip.AsSlice()})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2000)
		for {
			n, from, err := conn.ReadFromUDP(buf)
			if err != nil {
				return
			}
			g.mu.Lock()
			answers, lead := g.upnp && strings.Contains(string(buf[:n]), services[1]), g.lead
			g.mu.Unlock()
			if lead == "" {
				lead = server.URL + "/root.xml"
			}
			if answers {
				_, _ = conn.WriteToUDP([]byte("HTTP/1.1 200 OK\r\nST: "+services[1]+
					"\r\nLOCATION: "+lead+"\r\n\r\n"), from)
			}
		}
	}()
	t.Cleanup(func() { server.Close(); _ = conn.Close(); <-done })
	return conn.LocalAddr().String()
}

const description = `<?xml version="1.0"?>
<root xmlns="urn:schemas-upnp-org:device-1-0"><URLBase>http://192.0.2.1/</URLBase>
<device><deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><deviceList><device><serviceList>
<service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><controlURL>/control</controlURL>
</service></serviceList></device></deviceList></device></root>`

func (g *gateway) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/root.xml" {
		_, _ = io.WriteString(w, description)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	if err != nil || r.URL.Path != "/control" {
		http.Error(w, "what?", http.StatusBadRequest)
		return
	}
	field := func(name string) string {
		_, after, _ := strings.Cut(string(body), "<"+name+">")
		value, _, _ := strings.Cut(after, "</"+name+">")
		return value
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	var p port
	var outside uint16
	_, _ = fmt.Sscan(field("NewInternalPort"), &p.number)
	_, _ = fmt.Sscan(field("NewExternalPort"), &outside)
	p.udp = field("NewProtocol") == "UDP"
	action, answer := "", ""
	switch {
	case strings.Contains(r.Header.Get("SOAPACTION"), "#AddPortMapping"):
		action = "AddPortMapping"
		code := 0
		if field("NewExternalPort") == g.taken {
			code = conflict
		} else if field("NewLeaseDuration") != "0" {
			code = g.fault
		}
		if code != 0 {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprintf(w, `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault><detail>
<UPnPError><errorCode>%d</errorCode><errorDescription>no</errorDescription></UPnPError></detail></s:Fault></s:Body>
</s:Envelope>`, code)
			return
		}
		g.keep("upnp", p, outside, false)
	case strings.Contains(r.Header.Get("SOAPACTION"), "#DeletePortMapping"):
		action = "DeletePortMapping"
		p.number = outside
		for k, v := range g.mapped {
			if v == outside && k.udp == p.udp {
				p = k
			}
		}
		g.keep("upnp", p, outside, true)
	default:
		action, answer = "GetExternalIPAddress", "<NewExternalIPAddress>"+g.external.String()+"</NewExternalIPAddress>"
	}
	fmt.Fprintf(w, `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/">`+
		`<s:Body><u:%sResponse xmlns:u="%s">%s`+
		`</u:%sResponse></s:Body></s:Envelope>`, action, services[1], answer, action)
}

var errFake = errors.New("the fake fails")
