package modules

import (
	"fmt"
	"slices"
	"strings"
)

// EnvName returns the variable that sets a key: with the prefix SWITCHYARD, SWITCHYARD_PEERS_MAX_OUTBOUND is that of
// peers.max_outbound.
func EnvName(prefix, key string) string { return prefix + "_" + envWord(key) }

// EnvPrefix returns the prefix of the variables of a program: MY_NODE for my-node.
func EnvPrefix(program string) string { return envWord(program) }

func envWord(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z' || r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, s)
}

// SetEnviron applies the variables that set a key, as Places does, and returns their names, in the order of the keys.
// Their place in errors is "$NAME".
func (c *Config) SetEnviron(prefix string, environ []string, plugins ...Plugin) (names []string, err error) {
	values := map[string]string{}
	for _, e := range environ {
		if name, value, ok := strings.Cut(e, "="); ok && strings.HasPrefix(name, prefix+"_") {
			values[name] = value
		}
	}
	if len(values) == 0 {
		return nil, nil
	}
	for _, k := range Keys(plugins...) {
		name := EnvName(prefix, k.Name)
		value, ok := values[name]
		if !ok {
			continue
		}
		if err := c.set("$"+name, k.Name, value, k.typ); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// UnknownEnviron returns a line for each variable that looks as if it were to set a key and sets none: it begins with
// the prefix and the name of a section. Others with the prefix are not the configuration's.
func UnknownEnviron(prefix string, environ []string, plugins ...Plugin) []string {
	var names, sections []string
	for _, k := range Keys(plugins...) {
		names = append(names, EnvName(prefix, k.Name))
		if section, _, nested := strings.Cut(k.Name, "."); nested {
			sections = append(sections, EnvName(prefix, section)+"_")
		}
	}
	var lines []string
	for _, e := range environ {
		name, _, _ := strings.Cut(e, "=")
		inSection := slices.ContainsFunc(sections, func(s string) bool { return strings.HasPrefix(name, s) })
		if !inSection || slices.Contains(names, name) {
			continue
		}
		hint := ""
		for _, known := range names {
			if distance(name, known) <= 2 {
				hint = fmt.Sprintf(" (did you mean %s?)", known)
				break
			}
		}
		lines = append(lines, fmt.Sprintf("the variable %.80s sets no key%s", name, hint))
	}
	slices.Sort(lines)
	return lines
}
