package cometbft

import (
	"context"
	"log/slog"

	"github.com/cometbft/cometbft/libs/log"
)

// logHandler passes Switchyard's log to CometBFT's, which decides on the levels.
type logHandler struct {
	to     log.Logger
	prefix string // of the groups
}

// Enabled implements slog.Handler.
func (h *logHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelDebug }

// warner is a logger with a level for warnings (CometBFT 0.40).
type warner interface {
	Warn(msg string, keyvals ...any)
}

// Handle implements slog.Handler.
func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	fields := make([]any, 0, 2*r.NumAttrs())
	r.Attrs(func(a slog.Attr) bool {
		fields = h.append(fields, a)
		return true
	})
	switch {
	case r.Level < slog.LevelInfo:
		h.to.Debug(r.Message, fields...)
	case r.Level < slog.LevelWarn:
		h.to.Info(r.Message, fields...)
	case r.Level < slog.LevelError:
		if w, ok := h.to.(warner); ok {
			w.Warn(r.Message, fields...)
		} else {
			h.to.Info(r.Message, append(fields, "level", "warn")...)
		}
	default:
		h.to.Error(r.Message, fields...)
	}
	return nil
}

func (h *logHandler) append(fields []any, a slog.Attr) []any {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		in := logHandler{prefix: h.prefix}
		if a.Key != "" {
			in.prefix += a.Key + "."
		}
		for _, inner := range v.Group() {
			fields = in.append(fields, inner)
		}
		return fields
	}
	return append(fields, h.prefix+a.Key, v.Any())
}

// WithAttrs implements slog.Handler.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var fields []any
	for _, a := range attrs {
		fields = h.append(fields, a)
	}
	return &logHandler{to: h.to.With(fields...), prefix: h.prefix}
}

// WithGroup implements slog.Handler.
func (h *logHandler) WithGroup(name string) slog.Handler {
	return &logHandler{to: h.to, prefix: h.prefix + name + "."}
}
