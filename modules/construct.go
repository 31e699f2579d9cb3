package modules

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime/debug"
)

// construct calls the constructor of a plug-in. A panic, or nil without an error, becomes an error, so that the app is
// taken apart and the store closed.
func construct[T any](k kind, name string, log logger, build func() (T, error)) (v T, err error) {
	err = recovered(log.For(name), func() (err error) {
		v, err = build()
		if err == nil && isNil(v) {
			err = errors.New("its constructor returned nil")
		}
		return err
	})
	if err != nil {
		return v, fmt.Errorf("%s %s: %w", k, name, err)
	}
	return v, nil
}

// recovered calls fn. It returns a panic as an error, and logs its stack.
func recovered(log *slog.Logger, fn func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v", cause)
			log.Error("panic", slog.Any("cause", cause), slog.String("stack", string(debug.Stack())))
		}
	}()
	return fn()
}

func isNil(v any) bool {
	r := reflect.ValueOf(v)
	return !r.IsValid() || (r.Kind() == reflect.Pointer || r.Kind() == reflect.Func) && r.IsNil()
}
