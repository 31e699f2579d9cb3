package main

import (
	"fmt"
	"os"
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

// set replaces the value of a key; text is quoted, other values are written as they are. A section or key that the
// file does not have is an error of this program: it panics.
func (f *configFile) set(section, key string, value any) {
	switch v := value.(type) {
	case string:
		value = fmt.Sprintf("%q", v)
	case raw:
		value = string(v)
	}
	at := ""
	for i, line := range f.lines {
		if strings.HasPrefix(line, "[") {
			at = strings.Trim(line, "[] ")
		}
		if name, _, ok := strings.Cut(line, "="); ok && at == section && strings.TrimSpace(name) == key {
			f.lines[i] = fmt.Sprintf("%s = %v", key, value)
			return
		}
	}
	panic(fmt.Sprintf("%s has no %s.%s", f.path, section, key))
}

func (f *configFile) write() error {
	return os.WriteFile(f.path, []byte(strings.Join(f.lines, "\n")), 0o644)
}
