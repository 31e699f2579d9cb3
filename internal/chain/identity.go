package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
)

// readKey reads the private key of a node_key.json or priv_validator_key.json.
func readKey(path string) (ed25519.PrivateKey, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file struct {
		Key struct {
			Value string `json:"value"`
		} `json:"priv_key"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	key, err := base64.StdEncoding.DecodeString(file.Key.Value)
	if err != nil || len(key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("%s: no Ed25519 key", path)
	}
	return key, nil
}

// address returns CometBFT's address of a key: the id of a node, and upper case that of a validator.
func address(key ed25519.PrivateKey) string {
	sum := sha256.Sum256(key.Public().(ed25519.PublicKey))
	return hex.EncodeToString(sum[:20])
}

// peerID returns libp2p's id of a key: base58 of an identity multihash around the key's protobuf.
func peerID(key ed25519.PrivateKey) string {
	const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
	data := append([]byte{0, 36, 8, 1, 18, 32}, key.Public().(ed25519.PublicKey)...)
	n, mod, text := new(big.Int).SetBytes(data), new(big.Int), []byte{}
	for base := big.NewInt(58); n.Sign() > 0; {
		n.DivMod(n, base, mod)
		text = append(text, alphabet[mod.Int64()])
	}
	text = append(text, alphabet[0]) // for the leading zero byte
	for i, j := 0, len(text)-1; i < j; i, j = i+1, j-1 {
		text[i], text[j] = text[j], text[i]
	}
	return string(text)
}
