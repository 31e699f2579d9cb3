package cli

import (
	"io"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"

	"github.com/switchyard-p2p/switchyard/modules"
)

// newLogger returns a logger of a format and a level that Config.Validate accepts, and the level, which may be changed
// later. Text is in colour on a terminal, unless NO_COLOR is set.
func newLogger(w io.Writer, format, level string) (*slog.Logger, *slog.LevelVar) {
	leveled := new(slog.LevelVar)
	_ = leveled.UnmarshalText([]byte(level))
	switch {
	case format == "json":
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: leveled})), leveled
	case isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb":
		return slog.New(tint.NewTextHandler(w, &tint.Options{Level: leveled, TimeFormat: time.TimeOnly})), leveled
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: leveled})), leveled
}

// logFlags are --log-format and --log-level.
type logFlags struct{ format, level string }

// add adds the flags. or ends their help: what counts without them.
func (f *logFlags) add(cmd *cobra.Command, format, level, or string) {
	cmd.Flags().StringVar(&f.format, "log-format", format, strings.Join(modules.LogFormats(), " or ")+or)
	cmd.Flags().StringVar(&f.level, "log-level", level, strings.Join(modules.LogLevels(), ", ")+or)
	completeFrom(cmd, "log-format", modules.LogFormats()...)
	completeFrom(cmd, "log-level", modules.LogLevels()...)
}

// check refuses values that are given and wrong.
func (f *logFlags) check() error {
	f.level = strings.ToLower(f.level)
	if f.level != "" && !slices.Contains(modules.LogLevels(), f.level) {
		return usage("--log-level %q: want debug, info, warn or error", f.level)
	}
	if f.format != "" && !slices.Contains(modules.LogFormats(), f.format) {
		return usage("--log-format %q: want text or json", f.format)
	}
	return nil
}

// Bounds of what logGoroutines writes.
const (
	maxStacks    = 32 << 20 // bytes of all stacks
	maxDumpLines = 500
)

// logGoroutines logs what all goroutines do: a line for those that are at the same place, most first.
func logGoroutines(log *slog.Logger) {
	buf := make([]byte, 1<<20)
	n := runtime.Stack(buf, true)
	for n == len(buf) && len(buf) < maxStacks {
		buf = make([]byte, 2*len(buf))
		n = runtime.Stack(buf, true)
	}
	places := stacks(string(buf[:n]))
	total := 0
	for _, p := range places {
		total += p.count
	}
	log.Info("goroutines", slog.Int("count", total), slog.Int("places", len(places)))
	for _, p := range places[:min(len(places), maxDumpLines)] {
		log.Info("goroutine", slog.Int("count", p.count), slog.String("state", p.state), slog.String("stack", p.stack))
	}
}

// stackPlace is where some goroutines are.
type stackPlace struct {
	count        int
	state, stack string
}

// stacks groups the goroutines of a dump by their state and stack.
func stacks(dump string) []stackPlace {
	index := map[stackPlace]int{}
	var out []stackPlace
	for one := range strings.SplitSeq(dump, "\n\n") {
		head, rest, ok := strings.Cut(one, "\n")
		_, state, named := strings.Cut(head, "[")
		if !ok || !named {
			continue
		}
		state, _, _ = strings.Cut(strings.TrimSuffix(state, "]:"), ",") // without how long, and locks
		var frames []string
		lines := strings.Split(rest, "\n")
		for i := 0; i+1 < len(lines); i += 2 {
			call := lines[i]
			if at := strings.LastIndexByte(call, '('); at > 0 && strings.HasSuffix(call, ")") { // without arguments
				call = call[:at]
			}
			place, _, _ := strings.Cut(strings.TrimSpace(lines[i+1]), " +")
			call, place = call[strings.LastIndexByte(call, '/')+1:], place[strings.LastIndexByte(place, '/')+1:]
			frames = append(frames, call+" "+place)
		}
		key := stackPlace{state: state, stack: strings.Join(frames, " < ")}
		if at, ok := index[key]; ok {
			out[at].count++
			continue
		}
		index[key] = len(out)
		key.count = 1
		out = append(out, key)
	}
	slices.SortStableFunc(out, func(a, b stackPlace) int { return b.count - a.count })
	return out
}
