// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem

/// How many allocations each benchmark may need: a file of lines `name count`.
struct Limits {
    private var counts: [String: UInt64] = [:]
    let path: RawPath

    /// Above the limit by this share, a count is one that grew: threads meet differently each time.
    private static let tolerance = 0.1
    /// Below it by this share, the limit should be lowered.
    private static let slack = 0.2

    struct Malformed: Error, CustomStringConvertible {
        let description: String
    }

    init(reading path: RawPath) throws {
        self.path = path
        let text = String(decoding: try readFile(path, limit: 1 << 20), as: UTF8.self)
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            let words = line.split(separator: " ")
            guard words.count == 2, let count = UInt64(words[1]) else {
                throw Malformed(description: "\(path): not a name and a count: \(line)")
            }
            counts[String(words[0])] = count
        }
    }

    /// What is wrong with the measurements, a line each; empty when all is well. Hints go to `note`.
    func complaints(about measurements: [Measurement], note: (String) -> Void) -> [String] {
        var complaints: [String] = []
        for measurement in measurements {
            let (name, found) = (measurement.name, measurement.allocations)
            guard let limit = counts[name] else {
                complaints.append("\(name): \(path) has no limit; it needs \(found) allocations")
                continue
            }
            if Double(found) > Double(limit) * (1 + Self.tolerance) {
                complaints.append("\(name): \(found) allocations, the limit in \(path) is \(limit)")
            } else if Double(found) < Double(limit) * (1 - Self.slack) {
                note("\(name): \(found) allocations only; lower its limit of \(limit) in \(path)")
            }
        }
        let names = Set(measurements.map(\.name))
        complaints += counts.keys.filter { !names.contains($0) }.sorted().map { "\($0): a limit of nothing" }
        return complaints
    }

    static func text(of measurements: [Measurement]) -> String {
        """
        # SPDX-License-Identifier: Apache-2.0
        # Copyright the Galley authors
        #
        # Allocations that `make bench-micro` allows, by benchmark. Lower a number when the code got better; whoever raises
        # one says why in the commit.

        """ + measurements.map { "\($0.name) \($0.allocations)\n" }.joined()
    }
}
