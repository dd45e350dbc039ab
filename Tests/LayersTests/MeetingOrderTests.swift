import Layers
import TensorCore
import Testing

@Suite("What a graph computes while its layers meet")
struct MeetingOrderTests {
    /// What layers were asked to do.
    final class Log {
        var entries: [String] = []
    }

    /// A layer that takes note of its work.
    class Noting: Layer {
        let name: String
        let log: Log
        let outputs = 4
        let output = Tensor(rows: 2, columns: 4)

        init(_ name: String, _ log: Log) { (self.name, self.log) = (name, log) }

        var traits: LayerTraits {
            var traits = LayerTraits()
            traits.weights = .collected
            return traits
        }
        func note(_ work: String) { log.entries.append("\(name) \(work)") }
        func forward(_ input: Tensor, _ block: Block, _ pass: Pass) { note("forward") }
        func backward(
            _ input: Tensor, _ outputGradient: Tensor, into inputGradient: Tensor?, _ block: Block,
            _ pass: Pass
        ) { note("backward") }
        func backwardWeights(_ input: Tensor, _ outputGradient: Tensor, _ pass: Pass) {
            note("weights")
        }
    }

    final class NotingMeeting: Noting, MeetingLayer {
        override var traits: LayerTraits { LayerTraits() }
        var writesObservedGradient: Bool { false }
        func observes(in blocks: [[Block]]) {}
        func observesGradient(in blocks: [[Block]]) {}
        func observe(_ input: Tensor, _ block: Block, _ pass: Pass) { note("observe") }
        func meet(_ pass: Pass) { note("meet") }
        func observeGradient(
            _ input: Tensor, _ outputGradient: Tensor, second: Tensor?, _ block: Block, _ pass: Pass
        ) { note("observe gradient") }
        func startMeetingBackward(_ pass: Pass) { note("start meeting") }
        func meetBackward(_ pass: Pass) { note("meet backward") }
    }

    @Test("weights' gradients are computed while the sums of the layer before are on their way")
    func weightsHideMeetings() throws {
        let log = Log()
        let shape = BatchShape(index: 0, samples: 2, shardRows: [0..<2], trains: true)
        let graph = try LayerGraph(
            chain: [
                Noting("a", log), NotingMeeting("n", log), Noting("b", log),
                NotingMeeting("m", log),
            ], shapes: [shape], inputSize: 4)
        let pass = Pass(.training, shape)
        _ = try graph.forward(Tensor(rows: 2, columns: 4), pass)
        #expect(
            log.entries == [
                "a forward", "n observe", "n meet", "n forward", "b forward", "m observe",
                "m meet", "m forward",
            ])
        log.entries = []
        try graph.backward(Tensor(rows: 2, columns: 4), pass)
        #expect(
            log.entries == [
                "m observe gradient", "m start meeting", "m meet backward", "m backward",
                "b backward", "n observe gradient", "n start meeting", "b weights",
                "n meet backward", "n backward", "a backward", "a weights",
            ])
    }
}
