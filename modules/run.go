package modules

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"go.uber.org/dig"
	"go.uber.org/fx"
	"go.uber.org/fx/fxevent"
)

// Bounds of the start and the stop of a node. An error names what did not stop in time.
const (
	StartTimeout = 30 * time.Second
	StopTimeout  = 20 * time.Second
	// partTimeout bounds the stop of one part. The others stop all the same, so that a service that hangs does not keep
	// the store from being flushed.
	partTimeout = 5 * time.Second
)

// Failure reports the first Run of a node that ended with an error. It is in the graph of every node, so that the code
// around the app learns why it shut down.
type Failure struct {
	once sync.Once
	done chan struct{}
	err  error
}

func newFailure() *Failure { return &Failure{done: make(chan struct{})} }

// Done is closed when a Run has failed.
func (f *Failure) Done() <-chan struct{} { return f.done }

// Err returns the failure, nil while there is none.
func (f *Failure) Err() error {
	select {
	case <-f.done:
		return f.err
	default:
		return nil
	}
}

func (f *Failure) set(err error) {
	f.once.Do(func() {
		f.err = err
		close(f.done)
	})
}

// Run builds an app of the options, starts it, waits until ctx ends or a part fails, and stops it: services before the
// host, the host before the transports, the store last. It returns the failure, or nil if ctx ended it. StartTimeout
// and StopTimeout bound the start and the stop.
//
// If ctx ends while the app is built (a large store takes seconds to load, a signer may be late), Run returns at once:
// nothing runs yet. The constructor that is at work returns on its own, and what was opened is closed then.
func Run(ctx context.Context, opts ...fx.Option) error {
	var failure *Failure
	built := make(chan *fx.App, 1)
	go func() {
		built <- fx.New(fx.Options(opts...), fx.Populate(&failure), fx.StartTimeout(StartTimeout),
			fx.StopTimeout(StopTimeout), fx.RecoverFromPanics(), fx.Supply(ending(ctx.Done())),
			fx.Invoke(func() error { return ctx.Err() })) // the last: a failed build closes what it has opened
	}()
	var app *fx.App
	select {
	case app = <-built:
	case <-ctx.Done():
		return nil
	}
	if err := app.Err(); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return dig.RootCause(err)
	}
	// The start does not end with ctx: what was open halfway would stay open.
	starting, cancel := context.WithTimeout(context.WithoutCancel(ctx), StartTimeout)
	defer cancel()
	if err := app.Start(starting); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-failure.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), StopTimeout)
	defer cancel()
	err := app.Stop(stopping)
	if failed := failure.Err(); failed != nil {
		return failed
	}
	return err
}

// supervisor ties Run methods to the lifecycle of the app.
type supervisor struct {
	fx.In

	Lifecycle fx.Lifecycle
	Shutdown  fx.Shutdowner
	Failure   *Failure
	Log       logger
}

// task is one Run in the lifecycle.
type task struct {
	name string
	run  func(context.Context) error
	// ready, if set, waits until the task does its work; the start waits for it. It returns when ctx ends or the run
	// has ended.
	ready func(ctx context.Context, ended <-chan struct{}) error
	close func() error // after the run has returned
}

// add starts t with the app and stops it with the app: later additions stop first. A run that fails shuts the app down
// with exit code 1.
func (s supervisor) add(t task) {
	log := s.Log.For(t.name)
	var (
		cancel context.CancelFunc
		ended  chan struct{}
		result error
	)
	stop := func(ctx context.Context) error {
		began := time.Now()
		ctx, done := context.WithTimeout(ctx, partTimeout)
		defer done()
		cancel()
		select {
		case <-ended:
		case <-ctx.Done():
			log.Error("did not stop in time", slog.Duration("waited", time.Since(began)))
			return fmt.Errorf("%s did not stop in time: %w", t.name, ctx.Err())
		}
		var err error
		if t.close != nil {
			if err = t.close(); err != nil {
				err = fmt.Errorf("%s: %w", t.name, err)
			}
		}
		log.Debug("stopped", slog.Duration("took", time.Since(began)))
		return err
	}
	s.Lifecycle.Append(fx.Hook{
		OnStart: func(starting context.Context) error {
			var ctx context.Context
			ctx, cancel = context.WithCancel(context.WithoutCancel(starting))
			ended = make(chan struct{})
			go func() {
				defer close(ended)
				result = recovered(log, func() error { return t.run(ctx) })
				if result == nil || ctx.Err() != nil {
					return
				}
				if !strings.HasPrefix(result.Error(), t.name+": ") {
					result = fmt.Errorf("%s: %w", t.name, result)
				}
				s.Failure.set(result)
				_ = s.Shutdown.Shutdown(fx.ExitCode(1)) // fails if nothing waits; Failure has the error
			}()
			log.Debug("started")
			if t.ready == nil {
				return nil
			}
			err := t.ready(starting, ended)
			select {
			case <-ended:
				if result != nil {
					err = result
				}
			default:
			}
			if err != nil { // fx stops what started before this task, not the task
				stopping, done := context.WithTimeout(context.WithoutCancel(starting), StopTimeout)
				defer done()
				if also := stop(stopping); also != nil {
					err = fmt.Errorf("%w; then %w", err, also)
				}
			}
			return err
		},
		OnStop: stop,
	})
}

// logger is the node's logger in the graph.
type logger struct{ *slog.Logger }

// For returns the logger of a part.
func (l logger) For(part string) *slog.Logger { return l.With(slog.String("part", part)) }

// Base is what every module needs. List it once, before them: the configuration, the logger, the failure. It makes the
// node's folder if there is none.
func Base(c Config) fx.Option {
	return fx.Options(
		fx.Module("home", fx.Invoke(func() error {
			if c.Home == "" {
				return nil
			}
			return os.MkdirAll(c.Home, 0o700)
		})),
		fx.Supply(c, home(c.Home)),
		fx.Provide(newFailure),
		fx.Provide(func(in struct {
			fx.In
			Logger *slog.Logger `optional:"true"`
		}) logger {
			if in.Logger == nil {
				return logger{slog.New(slog.DiscardHandler)}
			}
			return logger{in.Logger}
		}),
		fx.WithLogger(func(l logger) fxevent.Logger { return events{l.For("fx")} }),
	)
}

// home is Config.Home in the graph.
type home string

// events logs what fx does, at debug level: its errors are returned. The supervisor logs starts and stops.
type events struct{ log *slog.Logger }

// LogEvent implements fxevent.Logger.
func (e events) LogEvent(event fxevent.Event) {
	switch v := event.(type) {
	case *fxevent.Run:
		if v.Kind == "provide" && v.ModuleName != "" {
			e.log.Debug("built", slog.String("module", v.ModuleName), slog.Duration("took", v.Runtime),
				slog.Any("error", v.Err))
		}
	case *fxevent.Started:
		e.log.Debug("all started", slog.Any("error", v.Err))
	case *fxevent.RollingBack:
		e.log.Debug("a start failed: stopping what runs", slog.Any("error", v.StartErr))
	case *fxevent.Stopped:
		e.log.Debug("all stopped", slog.Any("error", v.Err))
	}
}
