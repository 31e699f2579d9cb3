package signergrpc

import (
	"context"
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/signer"
	"github.com/switchyard-p2p/switchyard/internal/signerpb"
)

// Names of the service and its methods (internal/signerpb/signer.proto).
const (
	serviceName    = "switchyard.signer.v1.Signer"
	methodDescribe = "Describe"
	methodSign     = "Sign"

	pathDescribe = "/" + serviceName + "/" + methodDescribe
	pathSign     = "/" + serviceName + "/" + methodSign
)

// service is what the server serves.
type service interface {
	describe(context.Context, *signerpb.DescribeRequest) (*signerpb.DescribeResponse, error)
	sign(context.Context, *signerpb.SignRequest) (*signerpb.SignResponse, error)
}

// serviceDesc returns what a plug-in of protoc would generate.
func serviceDesc() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: serviceName, HandlerType: (*service)(nil), Metadata: "internal/signerpb/signer.proto",
		Methods: []grpc.MethodDesc{method(methodDescribe, service.describe), method(methodSign, service.sign)},
	}
}

// method describes a method with one request and one response. There are no interceptors.
func method[Req, Resp any](name string, serve func(service, context.Context, *Req) (*Resp, error)) grpc.MethodDesc {
	return grpc.MethodDesc{MethodName: name, Handler: func(srv any, ctx context.Context, decode func(any) error,
		_ grpc.UnaryServerInterceptor) (any, error) {
		req := new(Req)
		if err := decode(req); err != nil {
			return nil, status.Error(codes.InvalidArgument, "the request is malformed")
		}
		s, ok := srv.(*Server)
		if !ok { // cannot be: Listen has registered it
			return nil, status.Error(codes.Internal, "no server")
		}
		return serve(s, ctx, req)
	}}
}

// toProto returns a request as it travels.
func toProto(r signer.Request) (*signerpb.SignRequest, error) {
	switch r.Purpose {
	case handshake.SignChallenge:
		return &signerpb.SignRequest{What: &signerpb.SignRequest_Challenge{Challenge: r.Body}}, nil
	case handshake.SignNoiseKey:
		return &signerpb.SignRequest{What: &signerpb.SignRequest_NoiseKey{NoiseKey: r.Body}}, nil
	case handshake.SignCertificateKey:
		return &signerpb.SignRequest{What: &signerpb.SignRequest_CertificateKey{CertificateKey: r.Body}}, nil
	case handshake.SignPeerRecord:
		return &signerpb.SignRequest{What: &signerpb.SignRequest_PeerRecord{PeerRecord: r.Body}}, nil
	case handshake.SignPubsub:
		return &signerpb.SignRequest{What: &signerpb.SignRequest_PubsubMessage{PubsubMessage: r.Body}}, nil
	}
	return nil, &signer.RefusedError{Purpose: r.Purpose, Why: "no request has this purpose"}
}

// fromProto is the inverse of toProto. A request that names nothing, or something that this version does not know, has
// the purpose 0.
func fromProto(m *signerpb.SignRequest) signer.Request {
	switch w := m.What.(type) {
	case *signerpb.SignRequest_Challenge:
		return signer.Request{Purpose: handshake.SignChallenge, Body: w.Challenge}
	case *signerpb.SignRequest_NoiseKey:
		return signer.Request{Purpose: handshake.SignNoiseKey, Body: w.NoiseKey}
	case *signerpb.SignRequest_CertificateKey:
		return signer.Request{Purpose: handshake.SignCertificateKey, Body: w.CertificateKey}
	case *signerpb.SignRequest_PeerRecord:
		return signer.Request{Purpose: handshake.SignPeerRecord, Body: w.PeerRecord}
	case *signerpb.SignRequest_PubsubMessage:
		return signer.Request{Purpose: handshake.SignPubsub, Body: w.PubsubMessage}
	}
	return signer.Request{}
}

// toStatus returns an error of the Keeper as it travels.
func toStatus(err error) error {
	if refused, ok := errors.AsType[*signer.RefusedError](err); ok {
		return status.Error(codes.PermissionDenied, refused.Why)
	}
	return status.Error(codes.Internal, err.Error())
}
