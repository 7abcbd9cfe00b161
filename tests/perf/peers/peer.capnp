@0xb3c1f3a9d2e44c51;
interface Peer {
  uniform @0 (location :Int32, x :Float32, y :Float32, z :Float32, w :Float32) -> stream;
  add @1 (a :Int32, b :Int32) -> (sum :Int32);
}
