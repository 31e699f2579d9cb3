package modules

import (
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"sync"

	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/transport"
)

// liveKeys are those that a reload applies.
var liveKeys = map[string]bool{
	"peers.persistent": true, "peers.unconditional": true, "peers.private": true, "peers.allow_networks": true,
	"peers.guests": true, "peers.dialed_guests": true, "peers.allow_guests": true, "peers.bootstrap": true,
	"peers.max_outbound": true, "peers.max_inbound": true, "peers.shared_networks": true,
	"peers.outbound_per_group": true, "peers.anchors": true, "peers.feeler_interval": true,
	"peers.churn_interval": true,
	"limits.handshakes":    true, "limits.handshakes_per_ip": true, "limits.attempts_per_ip": true,
	"limits.connections_per_ip": true, "limits.connections_per_group": true,
	"limits.peer_streams": true, "limits.protocol_streams": true,
	"log.level": true,
}

// live reports whether a reload applies a key.
func live(key string) bool { return liveKeys[key] }

// Loader reads a node's configuration again. Supply one (fx.Supply) to make a node reload; cli does.
type Loader func() (Config, error)

// Reloader changes the configuration of a running node.
type Reloader struct {
	plugins []Plugin
	parts   reloadParts

	mu      sync.Mutex // one reload at a time; guards running
	running Config     // what the node works with
}

type reloadParts struct {
	fx.In

	Host       *host.Host
	Transports []transport.Transport
	Wires      []handshake.Wire
	Load       Loader         `optional:"true"`
	Level      *slog.LevelVar `optional:"true"` // that log.level sets
	Log        logger
}

// Reload is the module that applies a changed configuration to the running node. It needs what Host needs, and a
// *host.Host. It provides *Reloader, and uses a Loader and a *slog.LevelVar if there are any.
func Reload(c Config, plugins ...Plugin) fx.Option {
	return fx.Module("reload", fx.Provide(func(in reloadParts) *Reloader {
		return &Reloader{plugins: plugins, parts: in, running: c.Clone()}
	}))
}

// Effective implements admin.Settings.
func (r *Reloader) Effective() []admin.Setting {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.running.Effective(r.plugins...)
}

// Reload reads the configuration again, and checks it as a start does. It applies the live keys that have changed and
// names the others, which keep their values until a restart. An error means that nothing has changed. It implements
// admin.Settings.
func (r *Reloader) Reload() (admin.Reloaded, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	log := r.parts.Log.For("config")
	out, err := r.reload()
	if err != nil {
		log.Error("the configuration was not reloaded, nothing has changed", slog.Any("error", err))
		return out, err
	}
	log.Info("reloaded", slog.String("applied", strings.Join(out.Applied, " ")),
		slog.String("needs_restart", strings.Join(out.Restart, " ")))
	return out, nil
}

func (r *Reloader) reload() (admin.Reloaded, error) {
	out := admin.Reloaded{Applied: []string{}, Restart: []string{}}
	if r.parts.Load == nil {
		return out, errors.New("this node does not know where its configuration is from")
	}
	next, err := r.parts.Load()
	if err != nil {
		return out, err
	}
	if err := next.Validate(r.plugins...); err != nil {
		return out, err
	}
	// merged has the live keys of next, and the others as they run.
	merged := r.running.Clone()
	for _, key := range changedKeys(r.running.settings(r.plugins), next.settings(r.plugins)) {
		if !live(key) {
			out.Restart = append(out.Restart, key)
			continue
		}
		out.Applied = append(out.Applied, key)
		merged.take(&next, key)
	}
	if len(out.Applied) == 0 {
		return out, nil
	}
	if err := merged.Validate(r.plugins...); err != nil {
		return out, err
	}
	return out, r.apply(merged)
}

// apply makes c, which is valid, the configuration of the node.
func (r *Reloader) apply(c Config) error {
	fitted := c.Fit(r.plugins...)
	if err := fitted.canDial(r.parts.Transports, r.parts.Wires); err != nil {
		return err
	}
	cfg, err := hostConfig(&fitted, ThisMachine())
	if err != nil {
		return err
	}
	if err := host.Reconfigure(r.parts.Host, cfg); err != nil {
		return err
	}
	if err := bootstrap(&fitted, r.parts.Host); err != nil {
		return err
	}
	if r.parts.Level != nil {
		_ = r.parts.Level.UnmarshalText([]byte(c.Log.Level)) // Validate has checked it
	}
	r.running = c
	return nil
}

// take copies a key of the node, which is not a plug-in's, from another configuration.
func (c *Config) take(from *Config, key string) {
	to, source := reflect.ValueOf(c).Elem(), reflect.ValueOf(from).Elem()
	for part := range strings.SplitSeq(key, ".") {
		f, ok := fieldByKey(to.Type(), part)
		if !ok {
			return
		}
		to, source = to.FieldByIndex(f.Index), source.FieldByIndex(f.Index)
	}
	to.Set(source)
	if c.where == nil {
		c.where = map[string]string{}
	}
	for k := range c.where {
		if k == key || strings.HasPrefix(k, key+".") {
			delete(c.where, k)
		}
	}
	for k, place := range from.where {
		if k == key || strings.HasPrefix(k, key+".") {
			c.where[k] = place
		}
	}
}

// changedKeys returns the keys that differ in value, in the order of the lists.
func changedKeys(old, next []admin.Setting) []string {
	var keys []string
	values := map[string]any{}
	for _, s := range old {
		values[s.Key] = s.Value
	}
	for _, s := range next {
		if was, ok := values[s.Key]; !ok || !reflect.DeepEqual(was, s.Value) {
			keys = append(keys, s.Key)
		}
		delete(values, s.Key)
	}
	for _, s := range old {
		if _, gone := values[s.Key]; gone {
			keys = append(keys, s.Key)
		}
	}
	return keys
}
