// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import OCI

/// The `errors` document that registries send with 4xx and 5xx (distribution-spec, "Error Codes").
struct RegistryErrorBody: Sendable {
    struct Entry: Sendable {
        var code: String
        var message: String
    }

    /// How much of an error body is read.
    static let limit = 64 << 10

    var entries: [Entry] = []

    /// Whatever can be understood of `bytes`; token servers send `{"details": ...}` or OAuth's `error_description`.
    init(parsing bytes: [UInt8]) {
        guard !bytes.isEmpty, let json = try? JSONValue(parsing: bytes) else { return }
        for entry in (json["errors"]?.arrayValue ?? []).prefix(8) {
            let message = entry["message"]?.stringValue ?? ""
            let detail = entry["detail"]?.stringValue.map { message.isEmpty ? $0 : "\(message): \($0)" }
            entries.append(
                Entry(
                    code: sanitised(entry["code"]?.stringValue ?? "", limit: 64),
                    message: sanitised(detail ?? message, limit: 300)
                )
            )
        }
        if entries.isEmpty, let text = Self.plainMessage(json) {
            entries = [Entry(code: "", message: sanitised(text, limit: 300))]
        }
    }

    private static func plainMessage(_ json: JSONValue) -> String? {
        for key in ["error_description", "details", "message", "error"] {
            if let text = json[key]?.stringValue, !text.isEmpty { return text }
        }
        return nil
    }

    func has(_ code: String) -> Bool { entries.contains { $0.code == code } }

    /// `: code: message`, or nothing when the registry said nothing.
    var suffix: String {
        let texts = entries.map { entry in
            if entry.code.isEmpty { return entry.message }
            return entry.message.isEmpty ? entry.code : "\(entry.code.lowercased()): \(entry.message)"
        }
        return texts.isEmpty ? "" : ": " + texts.joined(separator: "; ")
    }
}

/// `text` without control and formatting characters, so that a registry cannot write escape sequences to a terminal.
func sanitised(_ text: String, limit: Int) -> String {
    var out = String.UnicodeScalarView()
    for scalar in text.unicodeScalars.prefix(limit) {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse:
            if out.last != " " { out.append(" ") }
        default: out.append(scalar)
        }
    }
    return String(out)
}
