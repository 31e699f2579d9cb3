package modules

import (
	"fmt"

	"go.uber.org/fx"
)

// Services is the module of the enabled services. It needs a *host.Host. Services start after the host and stop before
// it.
func Services(c Config, plugins ...Plugin) fx.Option {
	var options []fx.Option
	order := 0
	for _, p := range plugins { // they start in the catalogue's order
		if p.kind != kindService {
			continue
		}
		at := join("services", p.name)
		t := c.Services[p.name]
		on, err := t.enabled(&c, at, p.on || p.absent && t != nil)
		if err != nil {
			return fx.Error(err)
		}
		if on {
			options = append(options, p.option(&c, at, t, order))
			order++
		}
	}
	return fx.Module("services",
		fx.Options(options...),
		fx.Invoke(func(s supervisor, in struct {
			fx.In
			All     []named[builtService] `group:"services"`
			Metrics metrics               `optional:"true"`
		}) error {
			inOrder(in.All)
			for _, n := range in.All {
				if err := in.Metrics.register(false, n.value.metrics...); err != nil {
					return fmt.Errorf("service %s: %w", n.name, err)
				}
				s.add(task{name: n.name, run: n.value.Run})
			}
			return nil
		}),
	)
}
