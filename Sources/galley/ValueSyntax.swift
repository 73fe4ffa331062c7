// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import Builder
import Glibc
import OCI

// How docker writes the values of its options. Every function throws what is wrong with the text.

func invalidValue(_ message: String, _ nextStep: String? = nil) -> BuilderError {
    BuilderError(.invalidRequest, message, nextStep: nextStep)
}

/// Bytes, like `64m`, `1.5g`, `128MiB` (binary units, as docker reads them).
func byteSize(_ text: String) throws -> Int64 {
    let error = invalidValue("invalid size: '\(text)'", "write a number with b, k, m or g, like 64m")
    let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
    guard digits.count <= 18, let number = Double(String(digits)), number.isFinite else { throw error }
    var unit = text[digits.endIndex...].lowercased()
    if unit.hasPrefix(" ") { unit.removeFirst() }
    let powers = ["b": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5]
    let power: Int
    switch unit {
    case "", "b": power = 0
    default:
        guard let known = powers[String(unit.prefix(1))], known > 0, ["", "b", "ib"].contains(unit.dropFirst())
        else { throw error }
        power = known
    }
    let bytes = (0..<power).reduce(number) { value, _ in value * 1024 }
    guard bytes < 9e18 else { throw error }
    return Int64(bytes)
}

/// `nofile=1024:2048`; one number stands for both limits and -1 for none.
func ulimit(_ text: String) throws -> ExecOp.Ulimit {
    let known = [
        "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio",
        "rttime", "sigpending", "stack",
    ]
    guard let equals = text.firstIndex(of: "=") else {
        throw invalidValue("invalid ulimit argument: \(text)", "write it like nofile=1024:2048")
    }
    let name = String(text[..<equals])
    guard known.contains(name) else {
        throw invalidValue("invalid ulimit type: \(name)", "known types: " + known.joined(separator: ", "))
    }
    let numbers = text[text.index(after: equals)...].split(separator: ":", omittingEmptySubsequences: false).map {
        Int64($0)
    }
    guard (1...2).contains(numbers.count), let soft = numbers[0], let hard = numbers[numbers.count - 1],
        soft >= -1, hard >= -1
    else { throw invalidValue("invalid ulimit value: \(text)", "write it like nofile=1024:2048") }
    guard hard == -1 || (soft != -1 && soft <= hard) else {
        throw invalidValue("ulimit soft limit must be less than or equal to hard limit: \(soft) > \(hard)")
    }
    return ExecOp.Ulimit(name: name, soft: soft, hard: hard)
}

/// `name:ip`, `name=ip` or `name:host-gateway`.
func hostEntry(_ text: String) throws -> ExecOp.HostEntry {
    guard let separator = text.firstIndex(of: "=") ?? text.firstIndex(of: ":"), separator != text.startIndex else {
        throw invalidValue("bad format for add-host: \"\(text)\"", "write it like db:10.0.0.5")
    }
    var address = text[text.index(after: separator)...]
    if address.hasPrefix("["), address.hasSuffix("]") { address = address.dropFirst().dropLast() }
    guard address == "host-gateway" || isAddress(String(address)) else {
        throw invalidValue("invalid IP address in add-host: \"\(address)\"")
    }
    return ExecOp.HostEntry(name: String(text[..<separator]), address: String(address))
}

private func isAddress(_ text: String) -> Bool {
    var buffer = in6_addr()
    return inet_pton(AF_INET, text, &buffer) == 1 || inet_pton(AF_INET6, text, &buffer) == 1
}

/// `KEY=value`, or `KEY` for nil.
func keyValue(_ text: String, of option: String) throws -> (key: String, value: String?) {
    let key = String(text.prefix { $0 != "=" })
    guard !key.isEmpty else { throw invalidValue("invalid value for \(option): \"\(text)\" has no name") }
    return (key, key.count == text.count ? nil : String(text.dropFirst(key.count + 1)))
}

/// The name for an image that is made.
func newName(_ text: String) throws -> Reference {
    let reference: Reference
    do throws(OCIError) {
        reference = try Reference(text).withDefaultTag
    } catch {
        throw invalidValue("invalid tag \"\(text)\": \(error)")
    }
    guard reference.digest == nil else {
        throw invalidValue("invalid tag \"\(text)\": refusing to create a tag with a digest reference")
    }
    return reference
}

func platform(_ text: String?) throws -> Platform? {
    guard let text, !text.isEmpty else { return nil }
    do { return try Platform(text) } catch { throw invalidValue("\(error)") }
}

/// The values of `--platform`, each a list; a platform that is named twice counts once.
func platforms(_ texts: [String]) throws -> [Platform] {
    var result: [Platform] = []
    for text in texts.flatMap({ $0.split(separator: ",") }) {
        let word = text.drop { $0 == " " }
        guard let platform = word == "local" ? Platform.host : try platform(String(word)) else { continue }
        if !result.contains(platform) { result.append(platform) }
    }
    return result
}
