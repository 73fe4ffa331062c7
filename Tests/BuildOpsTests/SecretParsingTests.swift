// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem
import Testing

@testable import BuildOps

/// The words of `--secret` and `--ssh`.
@Suite struct SecretParsingTests {
    private static let environment = ["X": "of X", "SSH_AUTH_SOCK": "/agent"]

    private func secret(_ text: String) throws -> String {
        let source = try SecretSource(parsing: text, environment: Self.environment, directory: "/work")
        return switch source.origin {
        case .file(let path): "\(source.id) file \(path)"
        case .value(let value): "\(source.id) value \(String(decoding: value.exposed, as: UTF8.self))"
        }
    }

    @Test(arguments: [
        ("id=a,src=f", "a file /work/f"), ("src=/f,id=a", "a file /f"), ("ID=a,SOURCE=f", "a file /work/f"),
        ("id=a,env=X", "a value of X"), ("id=X", "X value of X"), ("id=y", "y file /work/y"),
        ("type=env,id=a,src=X", "a value of X"), ("type=file,id=a,src=X", "a file /work/X"),
        ("id=a,env=UNSET", "a value "), ("id=a,src=f,env=X", "a value of X"), ("id=a=b,src=c=d", "a=b file /work/c=d"),
        (#"id=a,"src=f,g""#, "a file /work/f,g"), (#""id=a","src=f""g""#, #"a file /work/f"g"#),
        ("id=a,src=", "a file /work/a"),
    ])
    func secrets(text: String, meaning: String) throws { #expect(try secret(text) == meaning) }

    @Test(arguments: [
        ("", "invalid field '' must be a key=value pair"), ("a", "invalid field 'a' must be a key=value pair"),
        ("src=f", "secret missing ID"), ("id=,src=f", "secret missing ID"),
        ("id=a,type=x", "unsupported secret type \"x\""), ("id=a,target=x", "unexpected key 'target' in 'target=x'"),
        ("id=a,", "invalid field '' must be a key=value pair"),
        (#"id=a,"src=f"#, #"a quote is not closed in id=a,"src=f"#),
    ])
    func badSecrets(text: String, message: String) {
        let error = #expect(throws: BuildOpsError.self) { try secret(text) }
        #expect(error?.message == "--secret: \(message)")
    }

    @Test(arguments: [
        ("default", "default /agent"), ("", "default /agent"), ("a=", "a /agent"), ("a=k", "a /work/k"),
        ("a=/k,l", "a /k /work/l"), ("a=s,raw=true", "a raw /work/s"), ("a=s,raw=0", "a /work/s"),
        ("=k", "default /work/k"),
    ])
    func agents(text: String, meaning: String) throws {
        let source = try AgentSource(parsing: text, environment: Self.environment, directory: "/work")
        let words = [source.id] + (source.isRaw ? ["raw"] : []) + source.paths.map(\.description)
        #expect(words.joined(separator: " ") == meaning)
    }

    @Test(arguments: ["a=raw=true", "a=s,t,raw=true", "a=s,raw=maybe"]) func badAgents(text: String) {
        #expect(throws: BuildOpsError.self) {
            try AgentSource(parsing: text, environment: Self.environment, directory: "/work")
        }
    }

    @Test func noAgentAtAll() {
        let error = #expect(throws: BuildOpsError.self) {
            try AgentSource(parsing: "default", environment: [:], directory: "/work")
        }
        #expect(error?.message.hasSuffix("make sure SSH_AUTH_SOCK is set") == true)
    }
}
