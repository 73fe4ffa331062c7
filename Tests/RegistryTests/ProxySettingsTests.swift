// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Testing

@testable import Registry

@Suite struct ProxySettingsTests {
    private func proxy(_ environment: [String: String], for address: String) throws -> String? {
        let address = try #require(WebAddress(address))
        return try ProxySettings(environment: environment).server(for: address).map {
            "\($0.kind) \($0.host):\($0.port)"
        }
    }

    @Test(
        "which variable counts",
        arguments: [
            (["HTTP_PROXY": "http://p:1"], "http://a/", "http p:1"),
            (["HTTP_PROXY": "p"], "http://a/", "http p:80"),
            (["HTTP_PROXY": "http://p:1"], "https://a/", nil),
            (["https_proxy": "http://user:word@[::1]:8/"], "https://a/", "http ::1:8"),
            (["HTTPS_PROXY": "socks5://p"], "https://a/", "socks5 p:1080"),
            (["HTTPS_PROXY": "", "https_proxy": "p:9"], "https://a/", "http p:9"),
            (["HTTPS_PROXY": "ftp://p"], "http://a/", nil), (["HTTPS_PROXY": "ftp://p"], "https://[::1]/", nil),
            (["HTTP_PROXY": "p:1"], "http://localhost/", nil),
            (["HTTP_PROXY": "p:1"], "http://127.1.2.3:8/", nil),
            (["HTTP_PROXY": "p:1"], "http://[::1]/", nil),
        ] as [([String: String], String, String?)]
    )
    func variables(_ environment: [String: String], _ address: String, _ expected: String?) throws {
        #expect(try proxy(environment, for: address) == expected)
    }

    @Test(
        "exceptions",
        arguments: [
            ("*", "a.example", true), ("example", "example", true), ("example", "a.example", true),
            ("example", "notexample", false), (".example", "example", false), (".example", "a.example", true),
            ("*.example", "a.example", true), ("*.example", "example", false), ("x, a.example ,y", "a.example", true),
            ("a.example:443", "a.example", false), ("a.example:80", "a.example", true),
            ("10.0.0.0/8", "10.1.2.3", true), ("10.0.0.0/8", "11.1.2.3", false), ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.128/25", "10.1.2.127", false), ("10.1.2.128/25", "10.1.2.200", true),
            ("fd00::/8", "[fd12::1]", true), ("fd00::/8", "[fe80::1]", false), ("0.0.0.0/0", "8.8.8.8", true),
            ("10.0.0.0/99", "10.1.2.3", false), ("", "a.example", false),
        ]
    )
    func exceptions(_ list: String, _ host: String, _ isExcepted: Bool) throws {
        let found = try proxy(["HTTP_PROXY": "p:1", "NO_PROXY": list], for: "http://\(host)/")
        #expect((found == nil) == isExcepted)
    }

    @Test(
        "what is no proxy fails the requests it is for",
        arguments: ["ftp://user:secret@p", "http://", "p:port", "p:99999"]
    )
    func problems(_ value: String) throws {
        let error = #expect(throws: RegistryError.self) { try proxy(["https_proxy": value], for: "https://a/") }
        #expect(error?.message == "https_proxy is not the address of an http or socks5 proxy")
    }
}
