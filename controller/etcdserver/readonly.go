package etcdserver

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// readCalls are the calls that the client listener admits unconditionally.
// Everything that is not listed is refused, so that a call which a newer etcd
// adds is refused until someone has looked at it.
var readCalls = map[string]bool{
	"/etcdserverpb.KV/Range":              true,
	"/etcdserverpb.KV/RangeStream":        true,
	"/etcdserverpb.Watch/Watch":           true,
	"/etcdserverpb.Lease/LeaseTimeToLive": true,
	"/etcdserverpb.Lease/LeaseLeases":     true,
	"/etcdserverpb.Cluster/MemberList":    true,
	"/etcdserverpb.Maintenance/Status":    true,
	"/etcdserverpb.Maintenance/Hash":      true,
	"/etcdserverpb.Maintenance/HashKV":    true,
	"/etcdserverpb.Maintenance/Snapshot":  true,
	"/etcdserverpb.Auth/AuthStatus":       true,
	"/v3electionpb.Election/Leader":       true,
	"/v3electionpb.Election/Observe":      true,
	"/grpc.health.v1.Health/Check":        true,
	"/grpc.health.v1.Health/List":         true,
	"/grpc.health.v1.Health/Watch":        true,
}

const (
	txnCall   = "/etcdserverpb.KV/Txn"
	alarmCall = "/etcdserverpb.Maintenance/Alarm"
)

// reads tells whether a call only reads. Transactions without a write and the
// listing of alarms do.
func reads(method string, request any) bool {
	switch r := request.(type) {
	case *pb.TxnRequest:
		return method == txnCall && txnReads(r)
	case *pb.AlarmRequest:
		return method == alarmCall && r.GetAction() == pb.AlarmRequest_GET
	}
	return readCalls[method]
}

func txnReads(r *pb.TxnRequest) bool {
	for _, ops := range [][]*pb.RequestOp{r.GetSuccess(), r.GetFailure()} {
		for _, op := range ops {
			switch o := op.GetRequest().(type) {
			case *pb.RequestOp_RequestRange:
			case *pb.RequestOp_RequestTxn:
				if !txnReads(o.RequestTxn) {
					return false
				}
			default:
				return false
			}
		}
	}
	return true
}

func refusal(method string) error {
	return status.Errorf(codes.PermissionDenied,
		"%s is refused: this etcd holds DVR's log, which is read-only from outside, because a write here would pass by validation and history. "+
			"Change routes and keys through the HTTP API or the dvr command; reading and watching here is open. "+
			"For emergencies the node can be started with --etcd-writable", method)
}

func refuseUnaryWrites(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if !reads(info.FullMethod, request) {
		return nil, refusal(info.FullMethod)
	}
	return handler(ctx, request)
}

func refuseStreamWrites(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if !reads(info.FullMethod, nil) {
		return refusal(info.FullMethod)
	}
	return handler(srv, stream)
}
