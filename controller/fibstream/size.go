package fibstream

import (
	"google.golang.org/protobuf/proto"

	"dvr/controller/fibpb"
	"dvr/projector"
)

// defaultChunk bounds an encoded chunk where no option says otherwise.
const defaultChunk = 256 << 10

// EncodedSize is how many bytes the chunks of a delta take on the stream,
// without gRPC's frames: for measurements.
func EncodedSize(d *projector.Delta) (n int) {
	e := encoder{limit: defaultChunk}
	_ = e.encode(1, d, func(c *fibpb.DeltaChunk) error { // only the callback can fail
		n += proto.Size(c)
		return nil
	})
	return n
}
