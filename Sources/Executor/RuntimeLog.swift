// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import OCI

/// The last error in what the runtime wrote to its log.
struct RuntimeLog {
    let message: String

    /// Nil when the log holds no error. Lines of JSON, each with `level` and `msg`.
    init?(_ bytes: [UInt8]) {
        for line in bytes.split(separator: UInt8(ascii: "\n")).reversed() {
            guard let entry = try? JSONValue(parsing: line), let message = entry["msg"]?.stringValue else { continue }
            let level = entry["level"]?.stringValue
            guard level == "error" || level == "fatal" else { continue }
            self.message = message
            return
        }
        return nil
    }

    /// What the runtime says when only the program is at fault; nil for everything else.
    var programFailure: ProcessExit? {
        let text = message.lowercased()
        guard text.contains("exec: \"") || text.contains("executable file") || text.contains("exec container process")
        else { return nil }
        if text.contains("permission denied") { return .notStarted(code: 126, reason: message) }
        if text.contains("not found") || text.contains("no such file") {
            return .notStarted(code: 127, reason: message)
        }
        return .notStarted(code: 126, reason: message)
    }
}
