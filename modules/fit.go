package modules

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
)

// Fit returns a copy whose default values of stack.* and listen.addresses are reduced to what this catalogue has and
// what the other choices can use. With stack.wires = ["comet"], for example, no wire runs over QUIC, so Fit drops that
// transport and its listen address. Fit never changes a list that the user gave and that differs from the default, or
// names a plug-in that the catalogue lacks; Validate refuses one that cannot work. Fit is idempotent.
func (c Config) Fit(plugins ...Plugin) Config {
	def, given := Default(), c.Stack
	stays := func(list, like []string, k kind) bool {
		return !slices.Equal(list, like) || c.where[stackKeys[k]] != "" && lacks(plugins, k, list)
	}
	keep := func(list *[]string, like []string, k kind, useful func(Plugin) bool) {
		if stays(*list, like, k) {
			return
		}
		var kept []string
		for _, name := range *list {
			if p, ok := find(plugins, k, name); ok && useful(p) {
				kept = append(kept, name)
			}
		}
		*list = kept
	}
	// First drop what the catalogue lacks, then what has no use.
	has := func(Plugin) bool { return true }
	keep(&c.Stack.Transports, def.Stack.Transports, kindTransport, has)
	keep(&c.Stack.Wires, def.Stack.Wires, kindWire, has)
	// A catalogue without any wire, or any transport, is part of a larger one: assume that the rest fits.
	streams := anyOf(plugins, kindWire, c.Stack.Wires, func(p Plugin) bool { return p.streams }) ||
		len(namesOf(plugins, kindWire)) == 0
	if !stays(given.Transports, def.Stack.Transports, kindTransport) {
		c.Stack.Transports = given.Transports
		keep(&c.Stack.Transports, def.Stack.Transports, kindTransport, func(p Plugin) bool {
			return streams || !p.secures
		})
	}
	bytes := anyOf(plugins, kindTransport, c.Stack.Transports, func(p Plugin) bool { return !p.secures }) ||
		len(namesOf(plugins, kindTransport)) == 0
	if !stays(given.Wires, def.Stack.Wires, kindWire) {
		c.Stack.Wires = given.Wires
		keep(&c.Stack.Wires, def.Stack.Wires, kindWire, func(p Plugin) bool { return bytes || p.streams })
	}
	keep(&c.Stack.Security, def.Stack.Security, kindSecurity, func(Plugin) bool { return streams })
	keep(&c.Stack.Muxers, def.Stack.Muxers, kindMuxer, func(Plugin) bool { return streams })
	if slices.Equal(c.Listen.Addresses, def.Listen.Addresses) {
		kept := slices.DeleteFunc(slices.Clone(c.Listen.Addresses), func(a string) bool {
			return !slices.Contains(c.Stack.Transports, transportIn(a))
		})
		if len(kept) > 0 { // else canListen reports the error
			c.Listen.Addresses = kept
		}
	}
	return c
}

// stackKeys are the keys of the lists of plug-ins.
var stackKeys = map[kind]string{kindTransport: "stack.transports", kindWire: "stack.wires",
	kindSecurity: "stack.security", kindMuxer: "stack.muxers"}

// lacks reports whether a list names a plug-in that the catalogue does not have. A catalogue without any of that kind
// is part of a larger one.
func lacks(plugins []Plugin, k kind, names []string) bool {
	known := namesOf(plugins, k)
	return len(known) > 0 && slices.ContainsFunc(names, func(name string) bool { return !slices.Contains(known, name) })
}

// withoutAbsent returns a list without the plug-ins that the catalogue lacks, if that leaves any.
func withoutAbsent(plugins []Plugin, k kind, names []string) []string {
	known := namesOf(plugins, k)
	kept := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !slices.Contains(known, name) })
	if len(kept) == 0 {
		return names
	}
	return kept
}

// transportIn returns the transport of a default listen address.
func transportIn(address string) string {
	if strings.HasSuffix(address, "/quic-v1") {
		return "quic"
	}
	return "tcp"
}

func anyOf(plugins []Plugin, k kind, names []string, is func(Plugin) bool) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		p, ok := find(plugins, k, name)
		return ok && is(p)
	})
}

// checkUses refuses a stack with a part that has no use, or that lacks another part.
func (c *Config) checkUses(plugins []Plugin) error {
	streams := anyOf(plugins, kindWire, c.Stack.Wires, func(p Plugin) bool { return p.streams })
	bytes := anyOf(plugins, kindTransport, c.Stack.Transports, func(p Plugin) bool { return !p.secures })
	var canStream []string // wires that would help
	for _, p := range plugins {
		if p.kind == kindWire && p.streams {
			canStream = append(canStream, p.name)
		}
	}
	add := ""
	if len(canStream) > 0 {
		add = ", or add " + strings.Join(canStream, ", ") + " there"
	}
	for i, name := range c.Stack.Transports {
		if p, _ := find(plugins, kindTransport, name); p.secures && !streams {
			return c.entryError("stack.transports", join("stack.transports", strconv.Itoa(i)),
				"%q: no wire of stack.wires (%s) takes its connections; remove it%s",
				name, strings.Join(c.Stack.Wires, ", "), add)
		}
	}
	for i, name := range c.Stack.Wires {
		if p, _ := find(plugins, kindWire, name); !p.streams && !bytes {
			return c.entryError("stack.wires", join("stack.wires", strconv.Itoa(i)),
				"%q: it cannot use a transport of stack.transports (%s); remove it, or add tcp there",
				name, strings.Join(c.Stack.Transports, ", "))
		}
	}
	for _, l := range []struct {
		key, noun string
		kind      kind
		names     []string
	}{{"stack.security", "a security", kindSecurity, c.Stack.Security},
		{"stack.muxers", "a muxer", kindMuxer, c.Stack.Muxers}} {
		switch {
		case streams && len(l.names) == 0:
			return c.errorAt(l.key, "empty; stack.wires has a wire that needs %s%s", l.noun,
				didYouMean("", namesOf(plugins, l.kind)))
		case !streams && len(l.names) > 0:
			return c.entryError(l.key, l.key+".0", "%q: no wire of stack.wires (%s) lets one choose %s; remove it%s",
				l.names[0], strings.Join(c.Stack.Wires, ", "), l.noun, add)
		}
	}
	return nil
}

// logUnused logs what Fit has dropped.
func logUnused(log *slog.Logger, given, fitted *Config) {
	for _, l := range []struct {
		key         string
		given, left []string
	}{
		{"stack.transports", given.Stack.Transports, fitted.Stack.Transports},
		{"stack.wires", given.Stack.Wires, fitted.Stack.Wires},
		{"stack.security", given.Stack.Security, fitted.Stack.Security},
		{"stack.muxers", given.Stack.Muxers, fitted.Stack.Muxers},
		{"listen.addresses", given.Listen.Addresses, fitted.Listen.Addresses},
	} {
		var unused []string
		for _, name := range l.given {
			if !slices.Contains(l.left, name) {
				unused = append(unused, name)
			}
		}
		if len(unused) > 0 {
			log.Info(fmt.Sprintf("%s: of the default, %s is left out: nothing here uses it", l.key,
				strings.Join(unused, ", ")))
		}
	}
}
