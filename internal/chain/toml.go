package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// configFile is a config.toml that CometBFT wrote, as lines.
type configFile struct {
	path  string
	lines []string
}

func readConfig(path string) (*configFile, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return &configFile{path, strings.Split(string(data), "\n")}, nil
}

// set replaces the value of a key; text is quoted, other values are written as they are. A key that the file does not
// have is an error of this program: it panics.
func (f *configFile) set(section, key string, value any) {
	if !f.replace(section, key, value) {
		panic(fmt.Sprintf("%s has no %s.%s", f.path, section, key))
	}
}

// put is set for keys that the file may not have: it adds them to their section.
func (f *configFile) put(section, key string, value any) {
	if f.replace(section, key, value) {
		return
	}
	i := slices.Index(f.lines, "["+section+"]")
	if i < 0 {
		panic(fmt.Sprintf("%s has no section %s", f.path, section))
	}
	f.lines = slices.Insert(f.lines, i+1, line(key, value))
}

func (f *configFile) replace(section, key string, value any) bool {
	at := ""
	for i, text := range f.lines {
		if strings.HasPrefix(text, "[") {
			at = strings.Trim(text, "[] ")
		}
		if name, _, ok := strings.Cut(text, "="); ok && at == section && strings.TrimSpace(name) == key {
			f.lines[i] = line(key, value)
			return true
		}
	}
	return false
}

func line(key string, value any) string {
	switch v := value.(type) {
	case string:
		value = fmt.Sprintf("%q", v)
	case raw:
		value = string(v)
	}
	return fmt.Sprintf("%s = %v", key, value)
}

// raw is a TOML value that stands as it is.
type raw string

func (f *configFile) write() error {
	return os.WriteFile(f.path, []byte(strings.Join(f.lines, "\n")), 0o644)
}
