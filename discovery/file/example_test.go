package file_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/discovery/file"
	"github.com/switchyard-p2p/switchyard/transport"
)

// The source reports what the file names, now and after each change of it.
func Example() {
	home, err := os.MkdirTemp("", "example-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(home)
	list := "# ours\n3fff8ce1b4ba4011be921f1442e1dacb80df4c63@192.0.2.1:26656\n"
	if err := os.WriteFile(filepath.Join(home, "peers.txt"), []byte(list), 0o600); err != nil {
		panic(err)
	}
	source, err := file.New(file.Config{Path: "peers.txt"}, discovery.Env{Home: home})
	if err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	_ = source.Run(ctx, nil, func(addr transport.Address, _ transport.NodeID) {
		fmt.Println(addr)
		stop()
	})
	// Output: /ip4/192.0.2.1/tcp/26656/mconn/3fff8ce1b4ba4011be921f1442e1dacb80df4c63
}
