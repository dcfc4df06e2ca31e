package history_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// traffic keeps every message of a connection, in both directions, as it stands below all interceptors. It is a
// stats.Handler.
type traffic struct {
	mu   sync.Mutex
	kept []said
}

// said is one message on the wire, or the headers or the error of a call.
type said struct {
	method    string // such as "QueryWorkflow"
	direction string // "request", "response", "header" or "error"
	body      proto.Message
	text      string // of a header or an error
}

type methodKey struct{}

func (w *traffic) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	return context.WithValue(ctx, methodKey{}, info.FullMethodName[strings.LastIndexByte(info.FullMethodName, '/')+1:])
}

func (w *traffic) HandleRPC(ctx context.Context, s stats.RPCStats) {
	m := said{method: fmt.Sprint(ctx.Value(methodKey{}))}
	switch s := s.(type) {
	case *stats.OutPayload:
		m.direction, m.body = "request", proto.Clone(s.Payload.(proto.Message))
	case *stats.InPayload:
		m.direction, m.body = "response", proto.Clone(s.Payload.(proto.Message)) // the SDK decodes in place
	case *stats.OutHeader:
		m.direction, m.text = "header", fmt.Sprint(map[string][]string(s.Header)) // its own String hides values
	case *stats.End:
		if s.Error == nil {
			return
		}
		st, _ := status.FromError(s.Error)
		m.direction, m.body, m.text = "error", st.Proto(), s.Error.Error()
	default:
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kept = append(w.kept, m)
}

func (w *traffic) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (w *traffic) HandleConn(context.Context, stats.ConnStats)                       {}

// plugin records what a client sends and receives. It may record several clients.
func (w *traffic) plugin(t *testing.T) client.Plugin {
	t.Helper()
	p, err := temporal.NewSimplePlugin(temporal.SimplePluginOptions{Name: "traffic",
		ConfigureClient: func(_ context.Context, o client.PluginConfigureClientOptions) error {
			connection := &o.ClientOptions.ConnectionOptions
			connection.DialOptions = append(connection.DialOptions, grpc.WithStatsHandler(w))
			return nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// messages returns what was recorded so far.
func (w *traffic) messages() []said {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.kept[:len(w.kept):len(w.kept)]
}

// evidence makes exhibits of it, each named by its method and direction.
func (w *traffic) evidence(t *testing.T) *evidence {
	t.Helper()
	e := &evidence{}
	for _, m := range w.messages() {
		where := m.direction + " of " + m.method
		if m.text != "" {
			e.addText(where, m.text)
		}
		if m.body != nil {
			e.add(t, where, m.body)
		}
	}
	return e
}
