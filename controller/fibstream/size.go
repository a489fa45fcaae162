package fibstream

import (
	"google.golang.org/protobuf/proto"

	"dvr/controller/fibpb"
	"dvr/projector"
)

// defaultChunk bounds an encoded chunk where no option says otherwise: what a data
// plane that is slow to read makes a controller hold is some four of them, and gRPC's
// next larger buffers have 1 MiB.
const defaultChunk = 32 << 10

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
