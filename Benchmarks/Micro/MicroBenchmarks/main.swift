// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

// Measures what is small and hot, and checks how often it asks for memory: that does not depend on the machine's mood.
//
//     microbenchmarks [--check FILE | --update FILE] [--only NAME] [--json FILE]

import Glibc
import LinuxSystem

private struct Arguments {
    var check: RawPath?
    var update: RawPath?
    var only: String?
    var json: RawPath?

    init?(_ words: [String]) {
        var rest = words[...]
        while let word = rest.popFirst() {
            guard let value = rest.popFirst() else { return nil }
            switch word {
            case "--check": check = RawPath(value)
            case "--update": update = RawPath(value)
            case "--only": only = value
            case "--json": json = RawPath(value)
            default: return nil
            }
        }
    }
}

private func say(_ text: String) { try? writeBytes(2, Array((text + "\n").utf8)) }

private func number(_ value: UInt64) -> String {
    var text = String(value)
    var position = text.count - 3
    while position > 0 {
        text.insert(",", at: text.index(text.startIndex, offsetBy: position))
        position -= 3
    }
    return text
}

private func write(_ text: String, _ path: RawPath) throws {
    let file = try open(path, [.writeOnly, .create, .truncate], mode: 0o644)
    try writeBytes(file.raw, Array(text.utf8))
}

guard let arguments = Arguments(Array(CommandLine.arguments.dropFirst())) else {
    say("usage: microbenchmarks [--check FILE | --update FILE] [--only NAME] [--json FILE]")
    exit(2)
}
let chosen = (syntaxBenchmarks + archiveBenchmarks + solverBenchmarks + contextBenchmarks).filter { benchmark in
    arguments.only.map { benchmark.name == $0 } ?? true
}
var measurements: [Measurement] = []
print("| benchmark | what | allocations | bytes asked for | ms |")
print("| --- | --- | ---: | ---: | ---: |")
for benchmark in chosen {
    let found = try await benchmark.measured(runs: 5)
    let tenths = Int((found.seconds * 10_000).rounded())
    print(
        "| \(found.name) | \(found.about) | \(number(found.allocations)) | \(number(found.bytes)) "
            + "| \(tenths / 10).\(tenths % 10) |"
    )
    measurements.append(found)
}
removeContexts()
if let path = arguments.json {
    let rows = measurements.map {
        #"  {"name": "\#($0.name)", "allocations": \#($0.allocations), "bytes": \#($0.bytes), "seconds": \#($0.seconds)}"#
    }
    try write("[\n" + rows.joined(separator: ",\n") + "\n]\n", path)
}
if let path = arguments.update { try write(Limits.text(of: measurements), path) }
if let path = arguments.check {
    let complaints = try Limits(reading: path).complaints(about: measurements, note: say)
    for complaint in complaints { say(complaint) }
    if !complaints.isEmpty { exit(1) }
    say("allocations: \(measurements.count) benchmarks within their limits")
}
