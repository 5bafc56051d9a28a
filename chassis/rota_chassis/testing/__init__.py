"""What tests of every member share: real servers, fakes and fixtures. Nothing outside of tests imports it."""
