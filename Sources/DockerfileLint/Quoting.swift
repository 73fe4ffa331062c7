// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// The text in double quotes, with escapes where it does not print: as Go's `%q`, which messages use.
func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": result += "\\\""
        case "\\": result += "\\\\"
        case "\n": result += "\\n"
        case "\r": result += "\\r"
        case "\t": result += "\\t"
        default:
            switch scalar.properties.generalCategory {
            case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator:
                let digits = String(scalar.value, radix: 16)
                let (prefix, width) =
                    scalar.value < 0x80 ? ("\\x", 2) : scalar.value < 0x10000 ? ("\\u", 4) : ("\\U", 8)
                result += prefix + String(repeating: "0", count: max(0, width - digits.count)) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
    }
    return result + "\""
}
