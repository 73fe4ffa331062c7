// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// The text in double quotes as Go's `%q` has it, which messages and history entries of images hold.
package func goQuoted(_ value: String) -> String {
    var result = "\""
    for scalar in value.unicodeScalars {
        switch scalar {
        case "\"": result += "\\\""
        case "\\": result += "\\\\"
        case "\u{7}": result += "\\a"
        case "\u{8}": result += "\\b"
        case "\u{c}": result += "\\f"
        case "\n": result += "\\n"
        case "\r": result += "\\r"
        case "\t": result += "\\t"
        case "\u{b}": result += "\\v"
        default:
            if isPrintable(scalar) { result.unicodeScalars.append(scalar) } else { result += escape(scalar) }
        }
    }
    return result + "\""
}

private func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
    case .spaceSeparator: scalar == " "
    default: true
    }
}

private func escape(_ scalar: Unicode.Scalar) -> String {
    let (prefix, width) = scalar.value < 0x80 ? ("\\x", 2) : scalar.value < 0x10000 ? ("\\u", 4) : ("\\U", 8)
    let digits = String(scalar.value, radix: 16)
    return prefix + String(repeating: "0", count: width - digits.count) + digits
}
