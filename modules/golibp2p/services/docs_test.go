package services

import (
	"os"
	"regexp"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// docs/libp2p-programs.md names the metrics and the routes of the services.
func TestDocuments(t *testing.T) {
	data, err := os.ReadFile("../../../docs/libp2p-programs.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	named := map[string]bool{}
	for _, m := range regexp.MustCompile("`(switchyard_(?:pubsub|dht)_[a-z_]+)`").FindAllStringSubmatch(text, -1) {
		named[m[1]] = true
	}
	pubsub, dht := &PubSub{counts: newPubsubCounts(newTopicFilter(1, nil))}, &DHT{}
	dht.counts = newDHTCounts(dht)
	for _, c := range append(pubsub.collectors(), dht.collectors()...) {
		descs := make(chan *prometheus.Desc, 1)
		c.Describe(descs)
		name := regexp.MustCompile(`fqName: "([^"]+)"`).FindStringSubmatch((<-descs).String())[1]
		if !named[name] {
			t.Errorf("the page lacks the metric %s", name)
		}
		delete(named, name)
	}
	for name := range named {
		t.Errorf("the page names %s, which is no metric", name)
	}
	routes := map[string]bool{}
	for _, m := range regexp.MustCompile("`(GET|POST|DELETE) /v1/services/([a-z]+/[a-z-]+)").FindAllStringSubmatch(text,
		-1) {
		routes[m[1]+" "+m[2]] = true
	}
	for file, service := range map[string]string{"pubsubapi.go": "pubsub", "dhtapi.go": "dht"} {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		handled := regexp.MustCompile(`HandleFunc\("([A-Z]+) /([a-z-]+)"`)
		for _, m := range handled.FindAllStringSubmatch(string(code), -1) {
			route := m[1] + " " + service + "/" + m[2]
			if !routes[route] {
				t.Errorf("the page lacks the route %s", route)
			}
			delete(routes, route)
		}
	}
	for route := range routes {
		t.Errorf("the page names the route %s, which there is not", route)
	}
}
