//go:build linux

package main

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// service is a container as CometBFT's runner describes it in a file for docker compose.
type service struct {
	name, image, ip string
	home            string // of the node
	port            int    // where its RPC is to be on 127.0.0.1
	builtin         bool   // the application's process is the node, too
}

// readCompose reads the services of such a file in the folder dir.
func readCompose(text, dir string) (map[string]service, error) {
	services := map[string]service{}
	var s service
	_, text, _ = strings.Cut(text, "\nservices:\n")
	for l := range strings.Lines(text) {
		name, isName := strings.CutSuffix(strings.TrimRight(l, "\n"), ":")
		if isName = isName && strings.HasPrefix(name, "  ") && !strings.HasPrefix(name, "   "); isName {
			s = service{name: strings.TrimSpace(name)}
		}
		key, value, _ := strings.Cut(strings.TrimSpace(l), " ")
		switch key {
		case "image:":
			s.image = value
		case "entrypoint:":
			s.builtin = value == "/usr/bin/entrypoint-builtin"
		case "ipv4_address:":
			s.ip = value
		case "-":
			from, to, _ := strings.Cut(value, ":")
			switch to {
			case "26657":
				port, err := strconv.Atoi(from)
				if err != nil {
					return nil, fmt.Errorf("%s: port %q: %w", s.name, value, err)
				}
				s.port = port
			case "/cometbft":
				s.home = filepath.Join(dir, from)
			}
		}
		if s.name != "" {
			services[s.name] = s
		}
	}
	for _, s := range services {
		if s.image == "" || s.ip == "" || s.home == "" || s.port == 0 {
			return nil, fmt.Errorf("the compose file does not say all of %+v", s)
		}
	}
	if len(services) == 0 {
		return nil, fmt.Errorf("the compose file in %s has no services", dir)
	}
	return services, nil
}
