package admin

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
)

// findings returns how the node is, the worst first; at least one finding.
func (s reads) findings(now time.Time) []Finding {
	found := []host.Finding{{Code: host.FindingWell, Severity: host.GradeOK, Text: "all is well", Since: s.started}}
	if s.node.Health != nil {
		found = s.node.Health.Check(now)
	}
	out := make([]Finding, 0, len(found)+1)
	if f := s.descriptors(now); f != nil {
		out = append(out, *f)
		if found[0].Code == host.FindingWell {
			return out
		}
	}
	for _, f := range found {
		out = append(out, Finding{Code: f.Code, Severity: f.Severity, Text: oneLine(f.Text), Remedy: oneLine(f.Remedy),
			Since: f.Since})
	}
	return out
}

// countFiles is how often open file descriptors are counted, at most.
const countFiles = 10 * time.Second

// descriptors warns of file descriptors that run out, where the system tells how many are open.
func (s reads) descriptors(now time.Time) *Finding {
	if s.cfg.Files <= 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.counted).Abs() >= countFiles {
		list, err := os.ReadDir("/dev/fd")
		if s.open, s.counted = len(list), now; errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
			s.open = s.cfg.Files // none is left, not even to look
		}
	}
	n := s.open
	if n*10 < s.cfg.Files*8 {
		s.scarce = time.Time{}
		return nil
	}
	if s.scarce.IsZero() {
		s.scarce = now
	}
	return &Finding{Code: host.FindingDescriptors, Severity: host.GradeBad,
		Text:   fmt.Sprintf("%d of %d file descriptors are open", n, s.cfg.Files),
		Remedy: "raise the limit (LimitNOFILE, ulimit -n), or lower peers.max_inbound", Since: s.scarce}
}
