package rpc

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/signet-temporal/signet/principal/s2s"
)

// RetryRefused is an interceptor for a connection that shows c: after Unauthenticated it has the cache drop the token and
// makes the call once more, if there is another one. It does not see streams: what starts one again is their caller.
func RetryRefused(c s2s.Credentials) grpc.UnaryClientInterceptor {
	dropper, drops := c.Tokens.(interface{ Drop(string, s2s.Token) bool })
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, o ...grpc.CallOption) error {
		if !drops {
			return invoke(ctx, method, req, reply, cc, o...)
		}
		// The token that the call is about to show: from the cache, so that the connection meets the same one.
		shown, tokenErr := c.Tokens.Token(ctx, c.Audience)
		err := invoke(ctx, method, req, reply, cc, o...)
		if tokenErr != nil || status.Code(err) != codes.Unauthenticated || !dropper.Drop(c.Audience, shown) {
			return err
		}
		return invoke(ctx, method, req, reply, cc, o...)
	}
}
