// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import OCI
public import Solver

/// The steps of one stage as they were last done, in the order of the Dockerfile.
public struct StageFacts: Hashable, Sendable {
    public var name: String
    /// Seconds since 1970.
    public var updated: Int64
    public var steps: [StepFacts]

    public init(name: String, updated: Int64, steps: [StepFacts]) {
        self.name = name
        self.updated = updated
        self.steps = steps
    }
}

/// A step of a build that is over.
public struct StepRecord: Hashable, Sendable {
    public enum Outcome: String, Hashable, Sendable {
        case ran, found, failed, cancelled, notReached
    }

    public var name: String
    public var stage: String
    public var outcome: Outcome
    /// Nil for a step that did not run, or of which nothing is known.
    public var reason: StepReason?

    public init(name: String, stage: String, outcome: Outcome, reason: StepReason? = nil) {
        self.name = name
        self.stage = stage
        self.outcome = outcome
        self.reason = reason
    }
}

/// Bytes of the history: texts stand in a table once and are named by number.
private struct RecordWriter {
    private var table: [String: Int] = [:]
    private var texts: [String] = []
    private var body: [UInt8] = []

    mutating func add(_ text: String) {
        let number = table[text] ?? texts.count
        if number == texts.count {
            table[text] = number
            texts.append(text)
        }
        add(number)
    }

    mutating func add(_ number: Int) { Self.append(UInt64(clamping: number), to: &body) }

    /// An absent text differs from an empty one.
    mutating func add(_ text: String?) {
        add(text == nil ? 0 : 1)
        if let text { add(text) }
    }

    mutating func add<T>(_ list: [T], _ add: (inout RecordWriter, T) -> Void) {
        self.add(list.count)
        for element in list { add(&self, element) }
    }

    mutating func add(_ list: [String]) { add(list) { $0.add($1) } }

    func finished(_ kind: UInt8) -> [UInt8] {
        var bytes = [kind]
        Self.append(UInt64(texts.count), to: &bytes)
        for text in texts {
            Self.append(UInt64(text.utf8.count), to: &bytes)
            bytes += text.utf8
        }
        return bytes + body
    }

    private static func append(_ number: UInt64, to bytes: inout [UInt8]) {
        var rest = number
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }
}

/// Reads what `RecordWriter` wrote.
private struct RecordReader {
    struct Damaged: Error {}

    private var rest: ArraySlice<UInt8>
    private var table: [String] = []

    init(_ bytes: [UInt8], _ kind: UInt8) throws {
        guard bytes.first == kind else { throw Damaged() }
        rest = bytes.dropFirst()
        for _ in 0..<(try count()) {
            let length = try number()
            guard length <= rest.count else { throw Damaged() }
            table.append(String(decoding: rest.prefix(length), as: UTF8.self))
            rest = rest.dropFirst(length)
        }
    }

    mutating func number() throws -> Int {
        var result: UInt64 = 0
        for shift: UInt64 in stride(from: 0, to: 63, by: 7) {
            guard let byte = rest.popFirst() else { throw Damaged() }
            result |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return Int(result) }
        }
        throw Damaged()
    }

    /// Every element takes a byte at least.
    mutating func count() throws -> Int {
        let count = try number()
        guard count <= rest.count else { throw Damaged() }
        return count
    }

    mutating func text() throws -> String {
        let index = try number()
        guard table.indices.contains(index) else { throw Damaged() }
        return table[index]
    }

    mutating func optionalText() throws -> String? { try number() == 0 ? nil : try text() }

    mutating func list<T>(_ read: (inout RecordReader) throws -> T) throws -> [T] {
        try (0..<(try count())).map { _ in try read(&self) }
    }

    mutating func texts() throws -> [String] { try list { try $0.text() } }

    mutating func value<T: RawRepresentable<String>>(_ type: T.Type) throws -> T {
        guard let value = T(rawValue: try text()) else { throw Damaged() }
        return value
    }

    mutating func id() throws -> VertexID {
        guard let digest = try? Digest("sha256:\(try text())") else { throw Damaged() }
        return VertexID(digest)
    }
}

// MARK: - Stages

extension StageFacts {
    private static let format: UInt8 = 1

    static func encode(_ stages: [StageFacts]) -> [UInt8] {
        var writer = RecordWriter()
        writer.add(stages) { writer, stage in
            writer.add(stage.name)
            writer.add(Int(stage.updated))
            writer.add(stage.steps) { $1.write(to: &$0) }
        }
        return writer.finished(format)
    }

    /// Nil for what is damaged or of another version.
    static func decode(_ bytes: [UInt8]) -> [StageFacts]? {
        guard var reader = try? RecordReader(bytes, format) else { return nil }
        return try? reader.list { reader in
            StageFacts(
                name: try reader.text(),
                updated: Int64(try reader.number()),
                steps: try reader.list { try StepFacts(from: &$0) }
            )
        }
    }
}

extension StepFacts {
    fileprivate func write(to writer: inout RecordWriter) {
        writer.add(id.digest.hex)
        for text in [kind.rawValue, name, stage, instruction, operation, progress.rawValue] { writer.add(text) }
        writer.add(settings) { writer, setting in
            writer.add(setting.name)
            writer.add(setting.value)
        }
        for list in [environment, variables, arguments] { writer.add(list) }
        writer.add(content)
        writer.add(inputs) { writer, input in
            for text in [input.id.digest.hex, input.kind.rawValue, input.name, input.role] { writer.add(text) }
            writer.add(input.content)
            writer.add(input.identity)
        }
    }

    fileprivate init(from reader: inout RecordReader) throws {
        let id = try reader.id()
        self.init(
            id: id,
            kind: try reader.value(Kind.self),
            name: try reader.text(),
            stage: try reader.text(),
            instruction: try reader.text(),
            operation: try reader.text()
        )
        progress = try reader.value(Progress.self)
        settings = try reader.list { Setting(try $0.text(), try $0.text()) }
        environment = try reader.texts()
        variables = try reader.texts()
        arguments = try reader.texts()
        content = try reader.optionalText()
        inputs = try reader.list { reader in
            Input(
                id: try reader.id(),
                kind: try reader.value(Kind.self),
                name: try reader.text(),
                role: try reader.text(),
                content: try reader.optionalText(),
                identity: try reader.optionalText()
            )
        }
    }
}

// MARK: - Builds

extension StepRecord {
    private static let format: UInt8 = 2

    static func encode(_ steps: [StepRecord]) -> [UInt8] {
        var writer = RecordWriter()
        writer.add(steps) { writer, step in
            for text in [step.name, step.stage, step.outcome.rawValue] { writer.add(text) }
            writer.add(step.reason?.code.rawValue)
            guard let reason = step.reason else { return }
            writer.add(reason.summary)
            writer.add(reason.details)
        }
        return writer.finished(format)
    }

    static func decode(_ bytes: [UInt8]) -> [StepRecord]? {
        guard var reader = try? RecordReader(bytes, format) else { return nil }
        return try? reader.list { reader in
            var step = StepRecord(
                name: try reader.text(),
                stage: try reader.text(),
                outcome: try reader.value(Outcome.self)
            )
            if let code = try reader.optionalText() {
                step.reason = StepReason(
                    .init(rawValue: code),
                    try reader.text(),
                    details: try reader.texts()
                )
            }
            return step
        }
    }
}
