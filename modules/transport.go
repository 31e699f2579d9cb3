package modules

import (
	"slices"
	"strings"

	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Transports is the module of the transports of [stack]. It provides []transport.Transport in that order. Secure
// transports need the module Handshake.
func Transports(c Config, plugins ...Plugin) fx.Option {
	c = c.Fit(plugins...)
	return fx.Module("transport",
		chosen(&c, "stack.transports", kindTransport, c.Stack.Transports, c.Transports, "transports", plugins),
		fx.Provide(group[transport.Transport]("transports")),
	)
}

// group returns a constructor of the list of all values of a value group, in the configuration's order.
func group[T any](name string) any {
	return fx.Annotate(func(all []named[T]) []T { return inOrder(all) }, fx.ParamTags(`group:"`+name+`"`))
}

// chosen provides the plug-ins of a kind that a list of the configuration names.
func chosen(c *Config, key string, k kind, names []string, tables map[string]Table, section string,
	plugins []Plugin) fx.Option {
	var options []fx.Option
	for i, name := range names {
		p, ok := find(plugins, k, name)
		if !ok {
			return fx.Error(c.errorAt(key, "%.60q: %v", name, missing(k, name, namesOf(plugins, k))))
		}
		options = append(options, p.option(c, join(section, name), tables[name], i))
	}
	return fx.Options(options...)
}

// inOrder sorts a value group into the configuration's order, which fx does not keep.
func inOrder[T any](group []named[T]) []T {
	slices.SortFunc(group, func(a, b named[T]) int {
		if a.order != b.order {
			return a.order - b.order
		}
		return strings.Compare(a.name, b.name)
	})
	out := make([]T, len(group))
	for i, n := range group {
		out[i] = n.value
	}
	return out
}
