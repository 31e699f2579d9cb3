package services

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	corehost "github.com/libp2p/go-libp2p/core/host"
	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/modules/cli/live"
)

func compare(a, b string) int { return cmp.Compare(a, b) }

// pubsubParts are what the service is built from.
type pubsubParts struct {
	fx.In

	Host     corehost.Host
	Identity handshake.Identity
}

// askSigner bounds the question to a signer at the start.
const askSigner = 5 * time.Second

func pubsubPlugin() modules.Plugin {
	return modules.ServiceFrom("pubsub", DefaultPubSub,
		func(cfg PubSubConfig, in pubsubParts, log *slog.Logger) (*PubSub, error) {
			ctx, cancel := context.WithTimeout(context.Background(), askSigner)
			defer cancel()
			return NewPubSub(ctx, cfg, in.Host, in.Identity, log)
		},
		modules.WithRoutes((*PubSub).routes), modules.WithMetrics((*PubSub).collectors))
}

// The paths of the API that the commands call.
const (
	pathTopics   = "/v1/services/pubsub/topics"
	pathPeers    = "/v1/services/pubsub/peers"
	pathMessages = "/v1/services/pubsub/messages"
)

// mostInput bounds what publish reads. The node's max_message decides.
const mostInput = mostMessage + 1

// pubsubCommand is the command pubsub and those below it.
func pubsubCommand() modules.CommandSpec {
	return modules.CommandSpec{Name: "pubsub", Short: "Publish and read messages by topic",
		Long: "Publish and read messages by topic, through the running node, whose services.pubsub.enabled must be\n" +
			"true.",
		Commands: []modules.CommandSpec{publishCommand(), subscribeCommand(), peersCommand(), topicsCommand()}}
}

func publishCommand() modules.CommandSpec {
	asJSON := false
	return modules.CommandSpec{Name: "publish", Args: []string{"TOPIC", "TEXT|-"}, Short: "Publish a message",
		Long:  "Publish TEXT, or the bytes of standard input (-), to a topic. The node need not be in it.",
		Flags: func(f *flag.FlagSet) { jsonFlag(f, &asJSON) },
		Run: func(ctx context.Context, call modules.Call) error {
			in := publishRequest{Topic: call.Args[0]}
			if err := checkTopic(in.Topic); err != nil {
				return &modules.UsageError{Err: err}
			}
			if in.Data = []byte(call.Args[1]); call.Args[1] == "-" {
				data, err := io.ReadAll(io.LimitReader(call.In, mostInput))
				if err != nil {
					return err
				}
				in.Data = data
			}
			var out Published
			if err := ask(ctx, call, http.MethodPost, pathMessages, in, &out); err != nil {
				return err
			}
			return show(call, asJSON, out, func(w io.Writer) {
				fmt.Fprintf(w, "%s (%d bytes): %d peers of the topic are linked\n", out.ID, out.Bytes, out.Peers)
			})
		}}
}

// errEnough ends a subscription after --count messages.
var errEnough = errors.New("enough")

func subscribeCommand() modules.CommandSpec {
	asJSON, count := false, 0
	return modules.CommandSpec{Name: "subscribe", Args: []string{"TOPIC"}, Short: "Print the messages of a topic",
		Long: "Print the messages of a topic from now on, until Ctrl-C or --count. The node subscribes to the\n" +
			"topic, and leaves it at the end unless it was in it before. With --json each line is a message, its\n" +
			"data in base64; else what does not print is replaced.",
		Flags: func(f *flag.FlagSet) {
			jsonFlag(f, &asJSON)
			f.IntVar(&count, "count", 0, "end after so many messages (default: never)")
		},
		Run: func(ctx context.Context, call modules.Call) error {
			topic := topicRequest{Topic: call.Args[0]}
			if err := checkTopic(topic.Topic); err != nil {
				return &modules.UsageError{Err: err}
			}
			if count < 0 {
				return &modules.UsageError{Err: fmt.Errorf("--count %d: want 0 or more", count)}
			}
			client, err := call.Client()
			if err != nil {
				return err
			}
			var entered topicAnswer
			if err := client.Call(ctx, http.MethodPost, pathTopics, topic, &entered); err != nil {
				return err
			}
			err = printMessages(ctx, client, call.Out, topic.Topic, count, asJSON)
			if entered.New {
				last, cancel := context.WithTimeout(context.WithoutCancel(ctx), askSigner)
				defer cancel()
				err = errors.Join(err, client.Call(last, http.MethodDelete, pathTopics, topic, nil))
			}
			return err
		}}
}

func printMessages(ctx context.Context, client *admin.Client, to io.Writer, topic string, count int,
	asJSON bool) error {
	path := pathMessages + "?" + url.Values{"topic": {topic}}.Encode()
	seen := 0
	err := client.ServiceEvents(ctx, path, nil, func(data json.RawMessage) error {
		var m Message
		if err := json.Unmarshal(data, &m); err != nil {
			return fmt.Errorf("message: %w", err)
		}
		var line bytes.Buffer
		if asJSON {
			if err := json.Compact(&line, data); err != nil {
				return err
			}
		} else {
			if m.Missed > 0 {
				fmt.Fprintf(&line, "(missed %d messages)\n", m.Missed)
			}
			fmt.Fprintf(&line, "%s %s", cmp.Or(string(m.From.NodeID), "-"), live.Clean(string(m.Data)))
		}
		line.WriteByte('\n')
		if _, err := to.Write(line.Bytes()); err != nil {
			return err
		}
		if seen++; seen == count {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) || ctx.Err() != nil {
		return nil
	}
	return err
}

func peersCommand() modules.CommandSpec {
	asJSON, topic := false, ""
	return modules.CommandSpec{Name: "peers", Short: "List the linked peers that speak pubsub",
		Flags: func(f *flag.FlagSet) {
			jsonFlag(f, &asJSON)
			f.StringVar(&topic, "topic", "", "only those in this topic")
		},
		Run: func(ctx context.Context, call modules.Call) error {
			path := pathPeers
			if topic != "" {
				path += "?" + url.Values{"topic": {topic}}.Encode()
			}
			return listPeers(ctx, call, path, asJSON)
		}}
}

// listPeers prints the peers that a path of the API answers.
func listPeers(ctx context.Context, call modules.Call, path string, asJSON bool) error {
	var list []PeerName
	if err := ask(ctx, call, http.MethodGet, path, nil, &list); err != nil {
		return err
	}
	return show(call, asJSON, list, func(w io.Writer) {
		for _, p := range list {
			fmt.Fprintf(w, "%s  %s\n", p.NodeID, p.PeerID)
		}
	})
}

func topicsCommand() modules.CommandSpec {
	asJSON := false
	return modules.CommandSpec{Name: "topics", Short: "List the topics that the node is in",
		Flags: func(f *flag.FlagSet) { jsonFlag(f, &asJSON) },
		Run: func(ctx context.Context, call modules.Call) error {
			var list []TopicInfo
			if err := ask(ctx, call, http.MethodGet, pathTopics, nil, &list); err != nil {
				return err
			}
			return show(call, asJSON, list, func(w io.Writer) {
				for _, t := range list {
					how := "publishes"
					if t.Subscribed {
						how = "subscribed"
					}
					fmt.Fprintf(w, "%s  %s  %d peers\n", live.Clean(t.Topic), how, t.Peers)
				}
			})
		}}
}

func jsonFlag(f *flag.FlagSet, to *bool) { f.BoolVar(to, "json", false, "print JSON") }

// ask asks the running node.
func ask(ctx context.Context, call modules.Call, method, path string, in, out any) error {
	client, err := call.Client()
	if err != nil {
		return err
	}
	return client.Call(ctx, method, path, in, out)
}

// show prints v as JSON, or what text writes.
func show(call modules.Call, asJSON bool, v any, text func(io.Writer)) error {
	var b bytes.Buffer
	if asJSON {
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(v); err != nil {
			return err
		}
	} else {
		text(&b)
	}
	_, err := call.Out.Write(b.Bytes())
	return err
}
