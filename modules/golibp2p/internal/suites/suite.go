package main

// project is whose tests run.
type project struct {
	name   string
	module string
	// stands maps a package that makes hosts to the folder of hosts that stands in for it, and to the files of tests
	// that import it. No other file of the suites' packages may.
	stands map[string]stand
}

// stand is what stands in for a package.
type stand struct {
	folder string
	files  []string
}

var projects = map[string]project{
	"pubsub": {
		name:   "pubsub",
		module: "github.com/libp2p/go-libp2p-pubsub",
		stands: map[string]stand{
			"github.com/libp2p/go-libp2p/x/simlibp2p": {"simlibp2p",
				[]string{"pubsub_test.go", "gossipsub_connmgr_test.go"}},
		},
	},
	"kad-dht": {
		name:   "kad-dht",
		module: "github.com/libp2p/go-libp2p-kad-dht",
		stands: map[string]stand{
			"github.com/libp2p/go-libp2p/p2p/host/basic":        {"bhost", kadHosts},
			"github.com/libp2p/go-libp2p/p2p/net/swarm/testing": {"swarmt", kadHosts},
			"github.com/libp2p/go-libp2p": {"libp2p",
				[]string{"dht_test.go", "handlers_test.go", "fullrt/dht_test.go"}},
			"github.com/libp2p/go-libp2p/p2p/net/mock": {"mocknet", []string{"ext_test.go"}},
		},
	},
}

// kadHosts are the files of kad-dht's tests that make hosts of swarms.
var kadHosts = []string{"dht_test.go", "rt_diversity_filter_test.go", "dual/dual_test.go",
	"internal/net/message_manager_test.go", "provider/provider_test.go"}

// suite is the tests of a package.
type suite struct {
	name    string
	project string
	pkg     string // folder of the package
	// tests are the ones that are meant, where that is not all.
	tests []string
	// skip are variants that do not run, as in a simulated network.
	skip []string
}

// Pubsub's tests run in time that is simulated, over packets that are, too: for ours over transport/memory, where there
// is no QUIC. Of kad-dht's provider one test alone makes a host.
var suites = []suite{
	{name: "pubsub", project: "pubsub", pkg: ".", skip: []string{"quic"}},
	{name: "kad-dht", project: "kad-dht", pkg: ".", skip: []string{"tls"}},
	{name: "kad-dht/dual", project: "kad-dht", pkg: "dual", skip: []string{"tls"}},
	{name: "kad-dht/fullrt", project: "kad-dht", pkg: "fullrt", skip: []string{"tls"}},
	{name: "kad-dht/internal/net", project: "kad-dht", pkg: "internal/net", skip: []string{"tls"}},
	{name: "kad-dht/provider", project: "kad-dht", pkg: "provider", skip: []string{"tls"},
		tests: []string{"TestWithHostOption"}},
}
