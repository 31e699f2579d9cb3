package modules

import (
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/switchyard-p2p/switchyard/host/admin"
)

// Effective returns every key with the value that a node works with and where it comes from. Defaults are those of this
// machine, and fitted to the stack (see Fit). Secrets are blotted out.
func (c Config) Effective(plugins ...Plugin) []admin.Setting {
	c.Limits = c.Limits.Derive(ThisMachine())
	list := c.settings(plugins)
	for i := range list {
		list[i].Value = blot(list[i].Key, list[i].Value)
	}
	return list
}

// settings is Effective with the values as they are.
func (c Config) settings(plugins []Plugin) []admin.Setting {
	c = c.Fit(plugins...)
	var list []admin.Setting
	// place is the key under which the configuration knows where the value was given.
	add := func(key, place string, v reflect.Value, given bool) {
		s := admin.Setting{Key: key, Value: plain(v), From: "default", Live: live(key)}
		if given {
			s.Where = c.placeOf(place)
		}
		switch {
		case s.Where == "":
		case strings.HasPrefix(s.Where, "--"):
			s.From = "flag"
		case strings.HasPrefix(s.Where, "$"):
			s.From, s.Where = "env", s.Where[1:]
		default:
			s.From, s.Where = "file", filepath.Base(s.Where)
		}
		list = append(list, s)
	}
	own := func(at, place string, p Plugin, t Table, reserved ...string) {
		if p.defaults == nil {
			return
		}
		cfg := reflect.New(reflect.TypeOf(p.defaults()))
		cfg.Elem().Set(reflect.ValueOf(p.defaults()))
		_ = decodeTable(&c, place, t, cfg.Interface(), reserved...) // Validate has refused what is wrong
		eachLeaf("", cfg.Elem(), func(key string, v reflect.Value) {
			if key != "" {
				add(join(at, key), join(place, key), v, t.has(strings.Split(key, ".")))
			}
		})
	}
	all := reflect.ValueOf(c)
	for f := range fields(all.Type()) {
		section := keyOf(f)
		k, plugged := pluginSections[section]
		switch {
		case section == "discovery":
			seen := map[string]int{}
			for i, t := range c.Discovery {
				use, _ := t["use"].(string)
				p, _ := find(plugins, k, use)
				at := join(section, use)
				if seen[use]++; seen[use] > 1 {
					at += fmt.Sprintf("[%d]", seen[use]-1)
				}
				place := join(section, strconv.Itoa(i))
				add(join(at, "use"), join(place, "use"), reflect.ValueOf(use), true)
				own(at, place, p, t, "use")
			}
		case plugged:
			tables, _ := all.FieldByIndex(f.Index).Interface().(map[string]Table)
			for _, p := range plugins {
				if p.kind != k || p.absent {
					continue
				}
				at, t := join(section, p.name), tables[p.name]
				if k == kindService {
					on, _ := t.enabled(&c, at, p.on)
					add(join(at, "enabled"), join(at, "enabled"), reflect.ValueOf(on), t.has([]string{"enabled"}))
				}
				own(at, at, p, t, "enabled")
			}
		default:
			eachLeaf(section, all.FieldByIndex(f.Index), func(key string, v reflect.Value) {
				_, given := c.where[key]
				add(key, key, v, given)
			})
		}
	}
	return list
}

// has reports whether a table gives a key, which may be in a table within it.
func (t Table) has(path []string) bool {
	v, ok := t[path[0]]
	if !ok || len(path) == 1 {
		return ok
	}
	inner, ok := asTable(v)
	return ok && inner.has(path[1:])
}

var (
	secretKey = regexp.MustCompile(`(^|[._])(password|secret|token)$`)
	userInfo  = regexp.MustCompile(`(://[^/@\s:]*:)[^/@\s]*@`)
	secretArg = regexp.MustCompile(`(?i)([?&][^=&#]*(?:password|secret|token|key|sig)[^=&#]*=)[^&#\s]+`)
)

// blot returns a value without what must not be shown: the value of a key that names a secret, the password and the
// secret arguments of a URL.
func blot(key string, v any) any {
	const blotted = "***"
	switch v := v.(type) {
	case string:
		if secretKey.MatchString(key) && v != "" {
			return blotted
		}
		return secretArg.ReplaceAllString(userInfo.ReplaceAllString(v, "${1}"+blotted+"@"), "${1}"+blotted)
	case []string:
		out := slices.Clone(v)
		for i := range out {
			out[i], _ = blot(key, out[i]).(string)
		}
		return out
	}
	return v
}
