package modules

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// ConfigError reports which key of the configuration is wrong, where it was given, and why.
type ConfigError struct {
	Where  string // "/home/me/.switchyard/config.toml:12", "--set" or "$NAME"; "" for a Config made in Go
	Key    string // such as "peers.max_outbound"; "" if the whole file is wrong
	Reason string
}

func (e *ConfigError) Error() string {
	s := e.Reason
	if key := e.Key; key != "" {
		if strings.ContainsFunc(key, unicode.IsControl) {
			key = strconv.Quote(key)
		}
		s = key + ": " + s
	}
	if e.Where != "" {
		s = e.Where + ": " + s
	}
	return s
}

// errorAt returns a ConfigError for a key, with the place of the key or of the nearest table around it.
func (c *Config) errorAt(key, format string, args ...any) *ConfigError {
	return &ConfigError{Key: key, Reason: fmt.Sprintf(format, args...), Where: c.placeOf(key)}
}

// placeOf returns where a key was given, or the nearest table around it; "" if neither was.
func (c *Config) placeOf(key string) string {
	for {
		if w, ok := c.where[key]; ok {
			return w
		}
		i := strings.LastIndexByte(key, '.')
		if i < 0 {
			return ""
		}
		key = key[:i]
	}
}

// oneLine shortens text from outside to one line.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 200 {
		s = s[:200] + "..."
	}
	return s
}

// didYouMean returns " (did you mean X?)" if a candidate resembles name, else a list of the candidates, else "".
func didYouMean(name string, candidates []string) string {
	best, bestDistance := "", 3
	if len(name) <= 4 {
		bestDistance = 2 // two changes to a short name leave nothing of it
	}
	for _, c := range candidates {
		if d := distance(strings.ToLower(name), c); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf(" (did you mean %s?)", best)
	case len(candidates) > 0:
		return fmt.Sprintf(" (known: %s)", strings.Join(candidates, ", "))
	}
	return ""
}

// distance returns the number of insertions, deletions, replacements and swaps of neighbours between two texts, capped
// for long ones.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		for j := range rows[i] {
			switch {
			case i == 0 || j == 0:
				rows[i][j] = i + j
			case a[i-1] == b[j-1]:
				rows[i][j] = rows[i-1][j-1]
			default:
				rows[i][j] = 1 + min(rows[i-1][j-1], rows[i-1][j], rows[i][j-1])
				if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
					rows[i][j] = min(rows[i][j], 1+rows[i-2][j-2])
				}
			}
		}
	}
	return rows[len(a)][len(b)]
}

// fieldOf returns the type of a key in a configuration struct; ok is false for an unknown key.
func fieldOf(t reflect.Type, path []string) (reflect.Type, bool) {
	for _, name := range path {
		if t.Kind() != reflect.Struct {
			return nil, false
		}
		f, ok := fieldByKey(t, name)
		if !ok {
			return nil, false
		}
		t = f.Type
	}
	return t, true
}

// fieldByKey returns the struct field of a TOML key: by its toml tag, else by its name in snake case.
func fieldByKey(t reflect.Type, key string) (reflect.StructField, bool) {
	for f := range fields(t) {
		if keyOf(f) == key {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

// keysOf returns the keys of a configuration struct, sorted.
func keysOf(t reflect.Type) []string {
	var keys []string
	if t.Kind() == reflect.Struct {
		for f := range fields(t) {
			keys = append(keys, keyOf(f))
		}
	}
	slices.Sort(keys)
	return keys
}

// fields iterates over the exported fields that a configuration can set.
func fields(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			switch f := t.Field(i); f.Type.Kind() {
			case reflect.Interface, reflect.Func, reflect.Chan, reflect.Pointer: // set in Go only
			default:
				if f.IsExported() && keyOf(f) != "-" && !yield(f) {
					return
				}
			}
		}
	}
}

// keyOf returns the key of a field: its toml tag, else its name in snake case (MaxPeers: max_peers; PeersPerIP:
// peers_per_ip).
func keyOf(f reflect.StructField) string {
	if tag, _, _ := strings.Cut(f.Tag.Get("toml"), ","); tag != "" {
		return tag
	}
	upper := func(b byte) bool { return b >= 'A' && b <= 'Z' }
	var s strings.Builder
	for i := range len(f.Name) {
		c := f.Name[i]
		if upper(c) {
			if i > 0 && (!upper(f.Name[i-1]) || i+1 < len(f.Name) && !upper(f.Name[i+1])) {
				s.WriteByte('_')
			}
			c += 'a' - 'A'
		}
		s.WriteByte(c)
	}
	return s.String()
}

// article describes the type that a key wants, for messages.
func article(t reflect.Type) string {
	if t == reflect.TypeFor[Duration]() || t == durationType {
		return `a duration such as "5s"`
	}
	switch t.Kind() {
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64, reflect.Int32, reflect.Int16, reflect.Int8, reflect.Uint, reflect.Uint64,
		reflect.Uint32, reflect.Uint16, reflect.Uint8:
		return "a whole number"
	case reflect.Float64, reflect.Float32:
		return "a number"
	case reflect.Slice:
		if k := t.Elem().Kind(); k == reflect.Map || k == reflect.Struct {
			return "a list of tables"
		}
		return "a list of texts"
	case reflect.Map, reflect.Struct:
		return "a table"
	}
	return "a " + t.Kind().String()
}

// mismatch says that a value does not have the type that its key wants.
func mismatch(want reflect.Type, got any) string {
	text, isText := got.(string)
	if !isText || !isTexts(want) {
		return fmt.Sprintf("want %s, got %s", article(want), kindName(got))
	}
	var quoted []string
	for i, entry := range split(text) {
		if i == 2 {
			quoted = append(quoted, "...")
			break
		}
		quoted = append(quoted, fmt.Sprintf("%.120q", entry))
	}
	return fmt.Sprintf("want a list of texts, got one text: write [%s]", strings.Join(quoted, ", "))
}

// kindName describes a TOML value, for messages.
func kindName(v any) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case string:
		return fmt.Sprintf("the text %.40q", v)
	case int64, float64, bool:
		return fmt.Sprint(v)
	case []any:
		return "a list"
	case map[string]any, Table:
		return "a table"
	}
	return fmt.Sprintf("a %T", v)
}
