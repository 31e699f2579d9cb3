package badger

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(crashEnv); path != "" {
		crashChild(path) // see TestKill
		os.Exit(1)
	}
	if path := os.Getenv(quotaEnv); path != "" {
		quotaChild(path)
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}
