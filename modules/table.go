package modules

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
)

var durationType = reflect.TypeFor[time.Duration]()

// decodeTable decodes a plug-in's own keys strictly over the defaults in into, a pointer to the plug-in's Config. A
// field's key is its toml tag, else its name in snake case; durations are texts such as "5s". at is the table's key,
// for errors. reserved keys are not the plug-in's.
func decodeTable(c *Config, at string, t Table, into any, reserved ...string) error {
	target := reflect.ValueOf(into).Elem()
	doc, err := prepare(c, at, t, target.Type(), reserved)
	if err != nil {
		return err
	}
	for _, key := range sortedKeys(t) { // one key at a time, so that an error names it
		f, ok := fieldByKey(target.Type(), key)
		if !ok || slices.Contains(reserved, key) {
			continue
		}
		data, err := toml.Marshal(map[string]any{tomlName(f): doc[tomlName(f)]})
		if err == nil {
			err = toml.Unmarshal(data, into)
		}
		switch {
		case err == nil:
		case !fits(t[key], f.Type):
			return c.errorAt(join(at, key), "%s", mismatch(f.Type, t[key]))
		default:
			return c.errorAt(join(at, key), "%s", oneLine(strings.TrimPrefix(err.Error(), "toml: ")))
		}
	}
	return nil
}

// prepare refuses keys that the struct type lacks, and converts the values for go-toml: to its names of the fields, and
// durations to numbers.
func prepare(c *Config, at string, t Table, want reflect.Type, reserved []string) (map[string]any, error) {
	doc := map[string]any{}
	for _, key := range sortedKeys(t) {
		if slices.Contains(reserved, key) {
			continue
		}
		f, ok := reflect.StructField{}, false
		if want.Kind() == reflect.Struct {
			f, ok = fieldByKey(want, key)
		}
		if !ok {
			var known []string
			if want.Kind() == reflect.Struct {
				known = keysOf(want)
			}
			return nil, c.errorAt(join(at, key), "unknown key%s", didYouMean(key, append(known, reserved...)))
		}
		value := t[key]
		if f.Type == durationType {
			s, ok := value.(string)
			if !ok {
				return nil, c.errorAt(join(at, key), "%s", mismatch(f.Type, value))
			}
			d, err := time.ParseDuration(s)
			if err != nil {
				return nil, c.errorAt(join(at, key), "%.40q is not a duration (want something like \"5s\")", s)
			}
			value = int64(d)
		}
		if f.Type.Kind() == reflect.Struct {
			if sub, ok := asTable(value); ok {
				inner, err := prepare(c, join(at, key), sub, f.Type, nil)
				if err != nil {
					return nil, err
				}
				value = inner
			}
		}
		doc[tomlName(f)] = value
	}
	return doc, nil
}

// tomlName returns go-toml's name of a field.
func tomlName(f reflect.StructField) string {
	if f.Tag.Get("toml") != "" {
		return keyOf(f)
	}
	return f.Name
}

func asTable(v any) (Table, bool) {
	switch v := v.(type) {
	case map[string]any:
		return v, true
	case Table:
		return v, true
	}
	return nil, false
}

// text returns the value of a key that must be a text; "" if it is missing.
func (t Table) text(c *Config, at, key string) (string, error) {
	v, ok := t[key]
	if !ok {
		return "", nil
	}
	s, ok := v.(string)
	if !ok {
		return "", c.errorAt(join(at, key), "want a text, got %s", kindName(v))
	}
	return s, nil
}

// enabled reports whether a service is turned on; otherwise is the value if the key is missing.
func (t Table) enabled(c *Config, at string, otherwise bool) (bool, error) {
	v, ok := t["enabled"]
	if !ok {
		return otherwise, nil
	}
	switch v := v.(type) {
	case bool:
		return v, nil
	default:
		return false, c.errorAt(join(at, "enabled"), "want true or false, got %s", kindName(v))
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// plural returns "1 peer", "2 peers".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
