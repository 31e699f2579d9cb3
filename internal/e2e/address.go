//go:build linux

package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/mr-tron/base58"
)

// takePeers takes the peers that a key of config.toml lists out of there. It returns what is left, and as TOML the
// peers' addresses over QUIC.
func takePeers(config []byte, key string, services map[string]service) (left []byte, peers string, err error) {
	line := regexp.MustCompile(`(?m)^` + key + ` = "(.*)"$`)
	m := line.FindSubmatch(config)
	if m == nil {
		return config, "", fmt.Errorf("config.toml has no %s", key)
	}
	var addresses []string
	for at := range strings.SplitSeq(string(m[1]), ",") {
		if at == "" {
			continue
		}
		_, hostPort, _ := strings.Cut(at, "@")
		ip, port, _ := strings.Cut(hostPort, ":")
		home := ""
		for _, s := range services {
			if s.ip == ip {
				home = s.home
			}
		}
		id, err := peerID(filepath.Join(home, "config", "node_key.json"))
		if errors.Is(err, fs.ErrNotExist) { // a light client
			continue
		}
		if err != nil {
			return config, "", err
		}
		addresses = append(addresses, fmt.Sprintf("%q", "/ip4/"+ip+"/udp/"+port+"/quic-v1/p2p/"+id))
	}
	return line.ReplaceAll(config, []byte(key+` = ""`)), "[" + strings.Join(addresses, ", ") + "]", nil
}

// peerID returns libp2p's id of the node whose key is in a file.
func peerID(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	var file struct {
		Key struct {
			Value string `json:"value"`
		} `json:"priv_key"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	key, err := base64.StdEncoding.DecodeString(file.Key.Value)
	if err != nil || len(key) != ed25519.PrivateKeySize {
		return "", fmt.Errorf("%s: no Ed25519 key", path)
	}
	// An identity multihash around the public key's protobuf.
	public := key[ed25519.PrivateKeySize-ed25519.PublicKeySize:]
	return base58.Encode(append([]byte{0, 36, 8, 1, 18, 32}, public...)), nil
}
