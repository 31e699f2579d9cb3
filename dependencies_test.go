package switchyard

import (
	"os/exec"
	"strings"
	"testing"
)

// TestDependencies keeps small programs free of what they do not use.
func TestDependencies(t *testing.T) {
	frameworks := []string{"go.uber.org/fx", "go.uber.org/dig", "github.com/spf13/cobra",
		"github.com/pelletier/go-toml"}
	for _, tt := range []struct {
		pkg  string
		has  string // to see that the list is one
		free []string
	}{
		{".", "github.com/quic-go/quic-go", frameworks},
		{"./internal/sizes/testdata/nofx", "github.com/dgraph-io/badger", frameworks},
		{"./internal/sizes/testdata/parts", "github.com/libp2p/go-yamux",
			append([]string{"github.com/quic-go", "github.com/dgraph-io"}, frameworks...)},
	} {
		out, err := exec.Command("go", "list", "-deps", tt.pkg).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		list := "\n" + string(out)
		if !strings.Contains(list, "\n"+tt.has) {
			t.Errorf("%s does not depend on %s", tt.pkg, tt.has)
		}
		for _, f := range tt.free {
			if strings.Contains(list, "\n"+f) {
				t.Errorf("%s depends on %s", tt.pkg, f)
			}
		}
	}
}
