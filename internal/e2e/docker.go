//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// controlVariable names the socket at which this program waits for the docker commands of CometBFT's runner.
const controlVariable = "E2E_CONTROL"

// answer is what came of a command.
type answer struct{ Output, Error string }

// dockerCommand is the program under the name docker: it passes its arguments on.
func dockerCommand(args []string) error {
	c, err := net.Dial("unix", os.Getenv(controlVariable))
	if err != nil {
		return err
	}
	defer c.Close()
	if err := json.NewEncoder(c).Encode(args); err != nil {
		return err
	}
	var a answer
	if err := json.NewDecoder(c).Decode(&a); err != nil {
		return err
	}
	fmt.Print(a.Output)
	if a.Error != "" {
		return errors.New(a.Error)
	}
	return nil
}

// serve obeys docker commands, one at a time, until the listener closes.
func (w *network) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		var args []string
		if err := json.NewDecoder(c).Decode(&args); err == nil {
			var a answer
			a.Output, err = w.docker(args)
			if err != nil {
				a.Error = err.Error()
			}
			_ = json.NewEncoder(c).Encode(a) // the runner may be gone
		}
		c.Close()
	}
}

// docker does what a docker command says. It knows those that CometBFT's runner gives.
func (w *network) docker(args []string) (output string, err error) {
	if len(args) < 2 {
		return "", fmt.Errorf("docker %q: unknown", args)
	}
	last := args[len(args)-1]
	switch {
	case args[0] == "container" && args[1] == "ls", args[0] == "network" && args[1] == "ls":
		return "", nil // there is nothing of earlier networks
	case args[0] == "network" && args[1] == "disconnect":
		return "", w.cut(last, true)
	case args[0] == "network" && args[1] == "connect":
		return "", w.cut(last, false)
	case args[0] != "compose" || len(args) < 4 || args[1] != "-f":
		return "", fmt.Errorf("docker %q: unknown", args)
	}
	if w.containers == nil {
		if err := w.make(args[2]); err != nil {
			return "", err
		}
	}
	verb, names := args[3], slices.DeleteFunc(slices.Clone(args[4:]), func(a string) bool { return a[0] == '-' })
	if verb == "kill" {
		names = names[1:] // the signal
	}
	for _, name := range names {
		c := w.containers[name]
		if c == nil {
			return "", fmt.Errorf("docker %q: there is no %s", args, name)
		}
		switch verb {
		case "up", "start":
			err = c.start()
		case "ps":
			if c.running() {
				output += name + "\n"
			}
		case "kill":
			err = c.kill()
		case "stop":
			err = c.stop()
		case "restart":
			if err = c.stop(); err == nil {
				err = c.start()
			}
		case "pause":
			err = c.signal(syscall.SIGSTOP)
		case "unpause":
			err = c.signal(syscall.SIGCONT)
		default:
			err = fmt.Errorf("docker %q: unknown", args)
		}
		if err != nil {
			return "", err
		}
	}
	return output, nil
}

// make makes the containers of a file for docker compose.
func (w *network) make(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	services, err := readCompose(string(text), filepath.Dir(file))
	if err != nil {
		return err
	}
	containers := map[string]*container{}
	for name, s := range services {
		c, err := w.container(s, services)
		if err != nil {
			return err
		}
		containers[name] = c
	}
	w.containers = containers
	return nil
}
