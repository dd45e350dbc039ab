import Foundation
import Testing

@testable import Reports

/// A reader of event files, written from the format's description.
private struct EventReader {
    struct Event: Equatable {
        var time = 0.0
        var step = 0
        var version = ""
        var isSessionStart = false
        var scalars: [String: Float] = [:]
        var histograms: [String: [Int: [Double]]] = [:]
    }

    /// A field of a message: a number, eight or four bytes, or content.
    private enum Field {
        case variable(UInt64)
        case fixed64(UInt64)
        case fixed32(UInt32)
        case content([UInt8])
    }

    static func events(_ file: [UInt8]) throws -> [Event] {
        var rest = file[...]
        var events: [Event] = []
        while !rest.isEmpty {
            let length = Int(number(rest.prefix(8)))
            try #require(
                UInt32(number(rest.dropFirst(8).prefix(4))) == masked(Array(rest.prefix(8))))
            let body = Array(rest.dropFirst(12).prefix(length))
            try #require(UInt32(number(rest.dropFirst(12 + length).prefix(4))) == masked(body))
            events.append(try event(body))
            rest = rest.dropFirst(16 + length)
        }
        return events
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// Bit by bit, without a table.
    private static func masked(_ bytes: [UInt8]) -> UInt32 {
        var sum = UInt32.max
        for byte in bytes {
            sum ^= UInt32(byte)
            for _ in 0..<8 { sum = sum & 1 == 1 ? sum >> 1 ^ 0x82F6_3B78 : sum >> 1 }
        }
        sum = ~sum
        return (sum >> 15 | sum << 17) &+ 0xA282_EAD8
    }

    private static func fields(_ bytes: [UInt8]) throws -> [(Int, Field)] {
        var rest = bytes[...]
        func variable() throws -> UInt64 {
            var (value, shift) = (UInt64(0), UInt64(0))
            while let byte = rest.popFirst() {
                value |= UInt64(byte & 0x7F) << shift
                shift += 7
                if byte < 0x80 { return value }
            }
            throw CocoaError(.coderReadCorrupt)
        }
        var fields: [(Int, Field)] = []
        while !rest.isEmpty {
            let key = try variable()
            func take(_ count: Int) -> ArraySlice<UInt8> {
                defer { rest = rest.dropFirst(count) }
                return rest.prefix(count)
            }
            switch key & 7 {
            case 0: fields.append((Int(key >> 3), .variable(try variable())))
            case 1: fields.append((Int(key >> 3), .fixed64(number(take(8)))))
            case 2: fields.append((Int(key >> 3), .content(Array(take(Int(try variable()))))))
            default: fields.append((Int(key >> 3), .fixed32(UInt32(number(take(4))))))
            }
        }
        return fields
    }

    private static func event(_ bytes: [UInt8]) throws -> Event {
        var event = Event()
        for (field, value) in try fields(bytes) {
            switch (field, value) {
            case (1, .fixed64(let bits)): event.time = Double(bitPattern: bits)
            case (2, .variable(let step)): event.step = Int(Int64(bitPattern: step))
            case (3, .content(let text)): event.version = String(decoding: text, as: UTF8.self)
            case (5, .content(let summary)):
                for case (1, .content(let part)) in try fields(summary) {
                    try add(part, to: &event)
                }
            case (7, .content(let session)): event.isSessionStart = session == [1 << 3, 1]
            default: Issue.record("field \(field)")
            }
        }
        return event
    }

    private static func add(_ value: [UInt8], to event: inout Event) throws {
        var tag = ""
        for (field, value) in try fields(value) {
            switch (field, value) {
            case (1, .content(let text)): tag = String(decoding: text, as: UTF8.self)
            case (2, .fixed32(let bits)): event.scalars[tag] = Float(bitPattern: bits)
            case (5, .content(let histogram)):
                for (field, value) in try fields(histogram) {
                    switch value {
                    case .fixed64(let bits):
                        event.histograms[tag, default: [:]][field] = [Double(bitPattern: bits)]
                    case .content(let packed):
                        event.histograms[tag, default: [:]][field] = stride(
                            from: 0, to: packed.count, by: 8
                        ).map { Double(bitPattern: number(packed[$0..<$0 + 8])) }
                    default: Issue.record("field \(field) of a histogram")
                    }
                }
            default: Issue.record("field \(field) of a value")
            }
        }
    }
}

struct EventRecordTests {
    @Test("the checksum is that of the standard's examples")
    func checksum() {
        #expect(CRC32C.checksum(Array("123456789".utf8)) == 0xE306_9283)
        #expect(CRC32C.checksum([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
        #expect(CRC32C.checksum([UInt8](repeating: 0xFF, count: 32)) == 0x62A8_AB43)
        #expect(CRC32C.checksum(Array(0..<32)) == 0x46DD_794E)
        #expect(CRC32C.checksum([]) == 0)
    }

    @Test("what was written is read back")
    func roundTrip() throws {
        let values: [Float] = (0..<1000).map { sin(Float($0)) * Float($0) / 100 }
        let histogram = try #require(EventHistogram(values))
        let records = [
            EventRecord(time: 1.5, step: 0, content: .version(EventRecord.version)),
            EventRecord(
                time: 2.5, step: 123_456,
                content: .summary([
                    .init("loss/train", .scalar(0.25)), .init("größe", .scalar(-.infinity)),
                    .init("layers.0.weight", .histogram(histogram)),
                ])),
        ]
        let start = EventRecord(time: 3.5, step: 101, content: .sessionStart)
        let events = try EventReader.events((records + [start]).flatMap(\.bytes))
        #expect(events.count == 3)
        #expect(events[2].isSessionStart && events[2].step == 101 && events[2].scalars.isEmpty)
        #expect(!events[0].isSessionStart && !events[1].isSessionStart)
        #expect(events[0].version == "brain.Event:2" && events[0].time == 1.5)
        #expect(events[1].step == 123_456 && events[1].time == 2.5)
        #expect(events[1].scalars == ["loss/train": 0.25, "größe": -.infinity])
        let read = try #require(events[1].histograms["layers.0.weight"])
        #expect(read[1] == [histogram.minimum] && read[2] == [histogram.maximum])
        #expect(read[3] == [1000] && read[4] == [histogram.sum])
        #expect(read[5] == [histogram.sumOfSquares])
        #expect(read[6] == histogram.limits && read[7] == histogram.counts)
    }

    @Test("a histogram counts every finite number in the range that holds it")
    func histogram() throws {
        let values: [Float] = [-3, -1e-20, 0, 0, 1e-13, 0.5, 0.5, 7e19, .nan, .infinity, 1e30]
        let histogram = try #require(EventHistogram(values))
        #expect(histogram.count == 9 && histogram.counts.reduce(0, +) == 9)
        #expect(histogram.minimum == -3 && histogram.maximum == Double(Float(1e30)))
        #expect(histogram.counts[0] == 0 || histogram.limits[0] > -3)
        for (a, b) in zip(histogram.limits, histogram.limits.dropFirst()) { #expect(a < b) }
        for value in Set(values.filter(\.isFinite)).map(Double.init) {
            let index = try #require(histogram.limits.firstIndex { $0 > value })
            #expect(histogram.counts[index] > 0, "\(value)")
        }
        #expect(EventHistogram([]) == nil && EventHistogram([.nan]) == nil)
        #expect(EventHistogram([2])?.sumOfSquares == 4)
    }
}
