// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax
public import LinuxSystem

// What `--secret` and `--ssh` say, as docker and buildctl read it.

extension SecretSource {
    /// `id=x,src=FILE`, `id=x,env=VARIABLE`, or `id=x` for the variable or else the file of that name. Fields with commas
    /// are quoted as in CSV.
    ///
    /// - Parameters:
    ///   - environment: where variables are looked up.
    ///   - directory: what relative paths are relative to.
    public init(parsing text: String, environment: [String: String], directory: RawPath) throws(BuildOpsError) {
        var id = ""
        var file: String?
        var variable: String?
        var type: String?
        let record: CSVRecord
        do { record = try CSVRecord(text) } catch { throw Self.invalid("\(error.rawValue) in \(text)") }
        for field in record.fields {
            guard let value = field.value else {
                throw Self.invalid("invalid field '\(field.text)' must be a key=value pair")
            }
            switch field.key.lowercased() {
            case "type":
                guard value == "file" || value == "env" else {
                    throw Self.invalid("unsupported secret type \"\(value)\"")
                }
                type = value
            case "id": id = value
            case "source", "src": file = value.isEmpty ? nil : value
            case "env": variable = value.isEmpty ? nil : value
            default: throw Self.invalid("unexpected key '\(field.key)' in '\(field.text)'")
            }
        }
        guard !id.isEmpty else { throw Self.invalid("secret missing ID") }
        if type == "env", variable == nil { (variable, file) = (file, nil) }
        if file == nil, variable == nil {
            if environment[id] != nil { variable = id } else { file = id }
        }
        self.id = id
        if let variable {
            // As docker: a variable that is not set is an empty secret.
            origin = .value(try SecretValue(Array((environment[variable] ?? "").utf8), of: id))
        } else {
            origin = .file(absolute(file ?? id, directory))
        }
    }

    private static func invalid(_ message: String) -> BuildOpsError {
        BuildOpsError(
            .invalidRequest,
            "--secret: \(message)",
            nextStep: "write it like id=NAME,src=FILE or id=NAME,env=VARIABLE"
        )
    }
}

extension AgentSource {
    /// `default`, `id=SOCKET`, `id=KEY,KEY`; without a path it is the agent of `SSH_AUTH_SOCK`.
    public init(parsing text: String, environment: [String: String], directory: RawPath) throws(BuildOpsError) {
        let equals = text.firstIndex(of: "=") ?? text.endIndex
        let name = String(text[..<equals])
        id = name.isEmpty ? "default" : name
        isRaw = false
        var paths: [String] = []
        for word in text[equals...].dropFirst().split(separator: ",", omittingEmptySubsequences: true) {
            guard word.hasPrefix("raw=") else {
                paths.append(String(word))
                continue
            }
            switch word.dropFirst(4).lowercased() {
            case "1", "t", "true": isRaw = true
            case "0", "f", "false": isRaw = false
            default:
                throw BuildOpsError(.invalidRequest, "--ssh: invalid value for 'raw': \(word.dropFirst(4))")
            }
        }
        guard !isRaw || paths.count == 1 else {
            throw BuildOpsError(
                .invalidRequest,
                "--ssh: raw mode must supply exactly one socket path for \"\(id)\"",
                nextStep: "write it like \(id)=SOCKET,raw=true"
            )
        }
        if paths.isEmpty {
            guard let socket = environment["SSH_AUTH_SOCK"], !socket.isEmpty else {
                throw BuildOpsError(
                    .invalidRequest,
                    "--ssh \(id): invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set",
                    nextStep:
                        "start an agent (eval $(ssh-agent); ssh-add), or name its socket or a key: --ssh \(id)=PATH"
                )
            }
            paths = [socket]
        }
        self.paths = paths.map { absolute($0, directory) }
    }
}

private func absolute(_ path: String, _ directory: RawPath) -> RawPath {
    path.hasPrefix("/") ? RawPath(path) : directory.appending(path)
}
