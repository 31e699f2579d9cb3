package standard_test

import (
	"fmt"

	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/modules/standard"
)

// A catalogue without QUIC refuses a configuration that asks for it.
func Example() {
	plugins := modules.Without(standard.Plugins(), "quic")
	cfg, err := modules.Parse("config.toml", []byte(`stack.transports = ["quic", "tcp"]`))
	if err != nil {
		panic(err)
	}
	fmt.Println(cfg.Validate(plugins...))
	// Output: config.toml:1: stack.transports: "quic": this build has no such transport (known: tcp)
}
