package modules

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// maxConfigSize bounds the file, so that a wrong path (a disk image, a device) is refused, not read.
const maxConfigSize = 1 << 20

// Load reads a configuration file over the defaults, applies sets (each "KEY=VALUE", see Set) and validates the result
// against the catalogue. Home is the file's folder. Errors that a user can fix are *ConfigError.
func Load(path string, sets []string, plugins ...Plugin) (Config, error) {
	return Places{File: path, Sets: sets}.Load(plugins...)
}

// Places are where a configuration comes from. A later place overrides an earlier one, and all override the defaults.
type Places struct {
	File string // config.toml
	// Environ are the variables of the process, as os.Environ returns them. EnvName tells which one sets a key.
	Environ []string
	Prefix  string   // of the variables, such as SWITCHYARD; "" reads none
	Sets    []string // "KEY=VALUE" each, see Config.Set
}

// Load reads the configuration and validates it, as the function Load does.
func (p Places) Load(plugins ...Plugin) (Config, error) {
	c, err := p.Read(plugins...)
	if err != nil {
		return c, err
	}
	return c, c.Validate(plugins...)
}

// Read is Load without Validate: the form is checked, the meaning is not.
func (p Places) Read(plugins ...Plugin) (Config, error) {
	data, err := readConfig(p.File)
	if err != nil {
		return Config{}, err
	}
	c, err := Parse(p.File, data)
	if err != nil {
		return Config{}, err
	}
	if c.Home, err = filepath.Abs(filepath.Dir(p.File)); err != nil {
		return Config{}, err
	}
	if p.Prefix != "" {
		if _, err := c.SetEnviron(p.Prefix, p.Environ, plugins...); err != nil {
			return Config{}, err
		}
	}
	for _, s := range p.Sets {
		if err := c.Set(s); err != nil {
			return Config{}, err
		}
	}
	return c, nil
}

// readConfig reads a file of bounded size.
func readConfig(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxConfigSize+1))
	if err == nil && len(data) > maxConfigSize {
		err = &ConfigError{Where: path,
			Reason: fmt.Sprintf("larger than %d bytes: not a configuration file", maxConfigSize)}
	}
	return data, err
}

// Parse reads a configuration over the defaults. name is the name of the file in errors. Parse checks the form, not the
// meaning: call Validate afterwards.
func Parse(name string, data []byte) (Config, error) { return Default().Overlay(name, data) }

// Overlay is Parse over c, for a program that derives a part of its configuration from elsewhere. A list of the
// document replaces c's.
func (c Config) Overlay(name string, data []byte) (Config, error) {
	c = c.Clone()
	discovery := c.Discovery
	c.Discovery = nil                               // go-toml would append to the list of tables
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // as some editors write
	if err := decode(name, data, &c); err != nil {
		if other := formatOf(data); other != "" {
			err = &ConfigError{Where: name, Reason: "this is " + other + "; want TOML in UTF-8, as init writes it"}
		}
		return Config{}, err
	}
	if c.Discovery == nil {
		c.Discovery = discovery
	}
	c.where = positions(name, data)
	return c, nil
}

// Set changes one key: "peers.max_outbound=4". The value is TOML, or else a text, so that moniker=my-node works; a
// text for a list is split at its commas. A [[discovery]] table is addressed by its plug-in's name:
// "discovery.pex.seed=true" changes every table that uses pex, and adds one if there is none.
func (c *Config) Set(assignment string) error {
	key, text, ok := strings.Cut(assignment, "=")
	key = strings.TrimSpace(key)
	if !ok || key == "" {
		return &ConfigError{Where: atSet,
			Reason: fmt.Sprintf("%.60q: want KEY=VALUE, such as peers.max_outbound=4", assignment)}
	}
	return c.set(atSet, key, text, nil)
}

// atSet is the place of keys that Set has changed.
const atSet = "--set"

// set is Set for a value that is given at a place. want is the type of a plug-in's key; nil if that is not known.
func (c *Config) set(at, key, text string, want reflect.Type) error {
	fail := func(format string, args ...any) error {
		return &ConfigError{Where: at, Key: key, Reason: fmt.Sprintf(format, args...)}
	}
	text = strings.TrimSpace(text)
	path := strings.Split(key, ".")
	if slices.Contains(path, "") {
		return fail("an empty part in the key")
	}
	value := tomlValue(text)
	// Work on a clone, so that a refused value changes nothing.
	next := c.Clone()
	if next.where == nil {
		next.where = map[string]string{}
	}
	if core, known := fieldOf(reflect.TypeFor[Config](), path); known {
		want = core
	}
	if want != nil {
		value = fit(value, text, want)
	}
	if path[0] == "discovery" && len(path) > 1 {
		if len(path) != 3 {
			return fail("want discovery.PLUGIN.KEY, such as discovery.pex.seed=true")
		}
		next.setDiscovery(at, path[1], path[2], value)
		*c = next
		return nil
	}
	if path[0] == "discovery" {
		next.Discovery = nil
	}
	var nested = value
	for _, part := range slices.Backward(path) {
		nested = map[string]any{part: nested}
	}
	doc, err := toml.Marshal(nested)
	if err != nil {
		return fail("%s", oneLine(err.Error()))
	}
	if err := decode(at, doc, &next); err != nil {
		var ce *ConfigError
		if errors.As(err, &ce) {
			ce.Where = at // the line is in a text that the user did not write
			ce.Key = key
		}
		return err
	}
	for k := range next.where { // the old value is gone
		if strings.HasPrefix(k, key+".") {
			delete(next.where, k)
		}
	}
	next.where[key] = at
	for n := 2; n < len(path); n++ { // the key may have made a table
		if table := strings.Join(path[:n], "."); next.where[table] == "" {
			next.where[table] = at
		}
	}
	*c = next
	return nil
}

func (c *Config) setDiscovery(at, use, key string, value any) {
	found := false
	for i, t := range c.Discovery {
		if t["use"] == use {
			t[key], found = value, true
			c.where["discovery."+strconv.Itoa(i)+"."+key] = at
		}
	}
	if !found {
		c.where["discovery."+strconv.Itoa(len(c.Discovery))] = at
		c.Discovery = append(c.Discovery, Table{"use": use, key: value})
	}
}

// tomlValue parses text as a TOML value, or else returns the text.
func tomlValue(text string) any {
	var doc map[string]any
	if err := toml.Unmarshal([]byte("v = "+text), &doc); err == nil && len(doc) == 1 {
		return doc["v"]
	}
	return text
}

// fit converts a value to the type of its key where the intent is plain: 123 for a text is "123", a text for a list of
// texts is split at its commas.
func fit(v any, text string, want reflect.Type) any {
	if _, isText := v.(string); !isText && want.Kind() == reflect.String {
		return text
	}
	if s, isText := v.(string); isText && isTexts(want) {
		return split(s)
	}
	return v
}

// isTexts reports whether a key wants a list of texts.
func isTexts(want reflect.Type) bool {
	return want.Kind() == reflect.Slice && want.Elem().Kind() == reflect.String
}

// split returns the entries of a list that was written as one text: with commas, as CometBFT's configuration has it, or
// as a list whose quotes a shell has removed.
func split(text string) []string {
	if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
		text = text[1 : len(text)-1]
	}
	list := []string{}
	for entry := range strings.SplitSeq(text, ",") {
		if entry = strings.TrimSpace(strings.Trim(strings.TrimSpace(entry), `"'`)); entry != "" {
			list = append(list, entry)
		}
	}
	return list
}

var yaml = regexp.MustCompile(`(?m)\A(\s*(#.*)?$)*\s*(---|- |[\w.-]+:(\s|$))`)

// formatOf names the format of a document that is not TOML; "" if that is not known.
func formatOf(data []byte) string {
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		return "UTF-16"
	case bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")), json.Valid(data):
		return "JSON"
	case yaml.Match(data):
		return "YAML"
	}
	return ""
}

// decode decodes a TOML document strictly into c. Errors are *ConfigError with the line and the key.
func decode(name string, data []byte, c *Config) error {
	err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(c)
	if err == nil {
		return onlyTexts(name, data)
	}
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) && len(unknown.Errors) > 0 {
		first := unknown.Errors[0]
		path := first.Key()
		reason := "unknown key"
		if parent, ok := fieldOf(reflect.TypeFor[Config](), path[:len(path)-1]); ok {
			reason += didYouMean(path[len(path)-1], keysOf(parent))
		}
		if more := len(unknown.Errors) - 1; more > 0 {
			reason += fmt.Sprintf("; %d more unknown keys follow", more)
		}
		return at(name, &first, reason)
	}
	var de *toml.DecodeError
	if !errors.As(err, &de) {
		return &ConfigError{Where: name, Reason: oneLine(strings.TrimPrefix(err.Error(), "toml: "))}
	}
	reason := oneLine(strings.TrimPrefix(de.Error(), "toml: "))
	if want, ok := fieldOf(reflect.TypeFor[Config](), de.Key()); ok && len(de.Key()) > 0 {
		if got, ok := valueAt(data, de.Key()); ok && !fits(got, want) {
			reason = mismatch(want, got)
			if list, isList := got.([]any); isList && want.Kind() == reflect.Slice {
				reason = fmt.Sprintf("want %s, but not all of its %d entries are", article(want), len(list))
			}
		}
	}
	return at(name, de, reason)
}

// onlyTexts refuses a number for a duration: go-toml would take it for nanoseconds.
func onlyTexts(name string, data []byte) error {
	path := []string{"limits", "handshake_timeout"}
	if v, ok := valueAt(data, path); ok && !fits(v, reflect.TypeFor[Duration]()) {
		key := strings.Join(path, ".")
		return &ConfigError{Where: positions(name, data)[key], Key: key,
			Reason: mismatch(reflect.TypeFor[Duration](), v)}
	}
	return nil
}

func at(name string, de *toml.DecodeError, reason string) *ConfigError {
	line, _ := de.Position()
	return &ConfigError{Where: name + ":" + strconv.Itoa(line), Key: strings.Join(de.Key(), "."), Reason: reason}
}

// valueAt returns the value of a key in a document that parses.
func valueAt(data []byte, path []string) (any, bool) {
	var doc map[string]any
	if toml.Unmarshal(data, &doc) != nil {
		return nil, false
	}
	var v any = doc
	for _, part := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = m[part]; !ok {
			return nil, false
		}
	}
	return v, true
}

// fits reports whether a TOML value has the type that a field wants.
func fits(v any, want reflect.Type) bool {
	if want == reflect.TypeFor[Duration]() || want == durationType {
		_, ok := v.(string)
		return ok
	}
	switch v := v.(type) {
	case string:
		return want.Kind() == reflect.String
	case bool:
		return want.Kind() == reflect.Bool
	case int64:
		return want.Kind() >= reflect.Int && want.Kind() <= reflect.Float64
	case float64:
		return want.Kind() == reflect.Float32 || want.Kind() == reflect.Float64
	case []any:
		return want.Kind() == reflect.Slice &&
			!slices.ContainsFunc(v, func(e any) bool { return !fits(e, want.Elem()) })
	case map[string]any:
		return want.Kind() == reflect.Struct || want.Kind() == reflect.Map
	}
	return true
}

// positions maps each key of a document to its place: "peers.max_outbound" to "config.toml:12". Entries of lists and of
// lists of tables are keys, too: "peers.persistent.0", "discovery.1.seed". The document must have been decoded before.
func positions(name string, data []byte) map[string]string {
	where := map[string]string{}
	var p unstable.Parser
	p.Reset(data)
	lines := []int{0} // offsets of their beginnings
	for i, b := range data {
		if b == '\n' {
			lines = append(lines, i+1)
		}
	}
	line := func(r unstable.Range) string {
		n, found := slices.BinarySearch(lines, int(r.Offset))
		if found {
			n++
		}
		return name + ":" + strconv.Itoa(n)
	}
	var keyed func(prefix string, n *unstable.Node)
	var valued func(key string, at string, v *unstable.Node)
	keyed = func(prefix string, n *unstable.Node) {
		path, first := prefix, unstable.Range{}
		for it := n.Key(); it.Next(); {
			if first.Length == 0 {
				first = it.Node().Raw
			}
			path = join(path, string(it.Node().Data))
		}
		where[path] = line(first)
		valued(path, where[path], n.Value())
	}
	valued = func(key, at string, v *unstable.Node) {
		switch v.Kind {
		case unstable.InlineTable:
			for it := v.Children(); it.Next(); {
				keyed(key, it.Node())
			}
		case unstable.Array:
			i := 0
			for it := v.Children(); it.Next(); {
				e := it.Node()
				if e.Kind == unstable.Comment {
					continue
				}
				entry := join(key, strconv.Itoa(i))
				i++
				where[entry] = at
				if e.Raw.Length > 0 {
					where[entry] = line(e.Raw)
				}
				valued(entry, where[entry], e)
			}
		}
	}
	table := ""
	counts := map[string]int{}
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			path, first := "", unstable.Range{}
			for it := e.Key(); it.Next(); {
				if first.Length == 0 {
					first = it.Node().Raw
				}
				path = join(path, string(it.Node().Data))
				if n, ok := counts[path]; ok && !it.IsLast() {
					path = join(path, strconv.Itoa(n-1)) // [discovery.sub] belongs to the last [[discovery]]
				}
			}
			if e.Kind == unstable.ArrayTable {
				counts[path]++
				if _, ok := where[path]; !ok {
					where[path] = line(first)
				}
				path = join(path, strconv.Itoa(counts[path]-1))
			}
			table = path
			where[table] = line(first)
		case unstable.KeyValue:
			keyed(table, e)
		}
	}
	return where
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "." + b
}
