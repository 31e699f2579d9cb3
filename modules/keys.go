package modules

import (
	"reflect"
	"slices"
	"time"
)

// Key is a key of the configuration, for documentation and completion.
type Key struct {
	Name    string // such as "peers.max_outbound"
	Type    string // in words: "a whole number"
	Default string // as TOML writes it; "" where it is too much for a line
	Comment string // what it does, in a few words; "" for keys of plug-ins that do not say
	Live    bool   // a reload applies it; others need a restart

	typ reflect.Type
}

// Keys returns all keys that a catalogue has, in the order of the file: those of the node, and those of each plug-in. A
// key of a [[discovery]] table is named after its plug-in, as Set has it: "discovery.pex.seed".
func Keys(plugins ...Plugin) []Key {
	comments := render(Default().Fit(plugins...), plugins).comments
	var keys []Key
	add := func(name string, v reflect.Value) {
		keys = append(keys, Key{Name: name, Type: article(v.Type()), Default: short(v), Comment: comments[name],
			Live: live(name), typ: v.Type()})
	}
	def := reflect.ValueOf(Default().Fit(plugins...))
	for f := range fields(def.Type()) {
		section, v := keyOf(f), def.FieldByIndex(f.Index)
		switch k, own := pluginSections[section]; {
		case own:
			if section == "discovery" {
				add(section, v)
			}
			for _, p := range plugins {
				if p.kind != k || p.absent {
					continue
				}
				at := join(section, p.name)
				if k == kindService {
					add(join(at, "enabled"), reflect.ValueOf(p.on))
				}
				if p.defaults != nil {
					eachLeaf(at, reflect.ValueOf(p.defaults()), add)
				}
			}
		default:
			eachLeaf(section, v, add)
		}
	}
	for i := range keys {
		if keys[i].Comment == "" && len(keys[i].Name) > len(".enabled") &&
			keys[i].Name[len(keys[i].Name)-len(".enabled"):] == ".enabled" {
			keys[i].Comment = "run this service"
		}
	}
	return keys
}

// pluginSections are the tables of plug-ins, with their kind.
var pluginSections = map[string]kind{"discovery": kindDiscovery, "services": kindService,
	"transports": kindTransport, "wires": kindWire, "security": kindSecurity, "muxers": kindMuxer}

// eachLeaf calls visit with each key in a settings struct that holds a value.
func eachLeaf(at string, v reflect.Value, visit func(string, reflect.Value)) {
	if v.Kind() != reflect.Struct {
		visit(at, v)
		return
	}
	for f := range fields(v.Type()) {
		eachLeaf(join(at, keyOf(f)), v.FieldByIndex(f.Index), visit)
	}
}

// short returns a value as TOML, or "" if that is too much for a line.
func short(v reflect.Value) string {
	text := tomlText(plain(v))
	if len(text) > 80 {
		return ""
	}
	return text
}

// plain returns a value as it is written in the file and in JSON: durations as texts, lists never nil.
func plain(v reflect.Value) any {
	switch x := v.Interface().(type) {
	case time.Duration:
		return x.String()
	case Duration:
		return x.String()
	case []string:
		return append([]string{}, x...)
	case []Table:
		return slices.Clone(x)
	default:
		return x
	}
}
