package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// client calls the RPC of one node.
type client struct {
	url  string
	http *http.Client
}

// call makes one call and reads its result.
func (c client) call(ctx context.Context, method string, params map[string]any, result any) error {
	if params == nil {
		params = map[string]any{}
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, "POST", c.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	var answer struct {
		Result json.RawMessage `json:"result"`
		Error  *struct {
			Message string `json:"message"`
			Data    string `json:"data"`
		} `json:"error"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return fmt.Errorf("%s: HTTP %d: %.200s", method, resp.StatusCode, data)
	}
	if answer.Error != nil {
		return fmt.Errorf("%s: %s: %s", method, answer.Error.Message, answer.Error.Data)
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(answer.Result, result); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	return nil
}

// quick calls with a limit of five seconds.
func (c client) quick(ctx context.Context, method string, params map[string]any, result any) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return c.call(ctx, method, params, result)
}

type status struct {
	SyncInfo struct {
		Height   int64 `json:"latest_block_height,string"`
		Earliest int64 `json:"earliest_block_height,string"`
		Catching bool  `json:"catching_up"`
	} `json:"sync_info"`
}

func (c client) status(ctx context.Context) (s status, err error) {
	err = c.quick(ctx, "status", nil, &s)
	return s, err
}

// height returns the height of the latest block.
func (c client) height(ctx context.Context) (int64, error) {
	s, err := c.status(ctx)
	return s.SyncInfo.Height, err
}

// block holds what we read of a block.
type block struct {
	ID struct {
		Hash string `json:"hash"`
	} `json:"block_id"`
	Block struct {
		Header struct {
			Time     time.Time `json:"time"`
			AppHash  string    `json:"app_hash"`
			Proposer string    `json:"proposer_address"`
		} `json:"header"`
		Data struct {
			Txs []string `json:"txs"`
		} `json:"data"`
		Evidence struct {
			Evidence []json.RawMessage `json:"evidence"`
		} `json:"evidence"`
	} `json:"block"`
}

func (c client) block(ctx context.Context, height int64) (b block, err error) {
	err = c.quick(ctx, "block", map[string]any{"height": fmt.Sprint(height)}, &b)
	return b, err
}

// signers returns the addresses of the validators that signed a block.
func (c client) signers(ctx context.Context, height int64) (map[string]bool, error) {
	var r struct {
		Header struct {
			Commit struct {
				Signatures []struct {
					Flag    int    `json:"block_id_flag"`
					Address string `json:"validator_address"`
				} `json:"signatures"`
			} `json:"commit"`
		} `json:"signed_header"`
	}
	if err := c.quick(ctx, "commit", map[string]any{"height": fmt.Sprint(height)}, &r); err != nil {
		return nil, err
	}
	signed := map[string]bool{}
	for _, s := range r.Header.Commit.Signatures {
		if s.Flag == 2 { // for the block, not absent and not for nil
			signed[s.Address] = true
		}
	}
	return signed, nil
}

// netInfo is what a node says of its links.
type netInfo struct {
	Peers []peerInfo `json:"peers"`
}

type peerInfo struct {
	NodeInfo struct {
		ID       string `json:"id"`
		Listen   string `json:"listen_addr"`
		Network  string `json:"network"`
		Version  string `json:"version"`
		Channels string `json:"channels"`
		Moniker  string `json:"moniker"`
		Other    struct {
			TxIndex string `json:"tx_index"`
			RPC     string `json:"rpc_address"`
		} `json:"other"`
	} `json:"node_info"`
	Outbound bool   `json:"is_outbound"`
	RemoteIP string `json:"remote_ip"`
	Status   struct {
		Duration int64 `json:",string"`
		Channels []struct{ ID byte }
	} `json:"connection_status"`
}

func (c client) netInfo(ctx context.Context) (n netInfo, err error) {
	err = c.quick(ctx, "net_info", nil, &n)
	return n, err
}

// commit sends a transaction through the node and waits until it is in a block; it returns that block's height.
func (c client) commit(ctx context.Context, tx []byte) (int64, error) {
	type code struct {
		Code int    `json:"code"`
		Log  string `json:"log"`
	}
	var r struct {
		Check  code  `json:"check_tx"`
		Result code  `json:"tx_result"`
		Height int64 `json:"height,string"`
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := c.call(ctx, "broadcast_tx_commit", map[string]any{"tx": tx}, &r); err != nil {
		return 0, err
	}
	if r.Check.Code != 0 || r.Result.Code != 0 || r.Height == 0 {
		return 0, fmt.Errorf("broadcast_tx_commit: %+v", r)
	}
	return r.Height, nil
}

// submit puts a transaction into the node's mempool.
func (c client) submit(ctx context.Context, tx []byte) error {
	var r struct {
		Code int    `json:"code"`
		Log  string `json:"log"`
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := c.call(ctx, "broadcast_tx_sync", map[string]any{"tx": tx}, &r); err != nil {
		return err
	}
	if r.Code != 0 {
		return fmt.Errorf("broadcast_tx_sync: code %d: %s", r.Code, r.Log)
	}
	return nil
}
