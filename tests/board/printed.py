"""The fragments of the guides, as they are printed; typographic damage is repaired."""

from __future__ import annotations

EARLYDATA = """
&vm2_vdevs {

     vearlydata_be: vearlydata@be {
         compatible = "vearlydata";
         server;
         info = "vearlydata_ctrl";
     };

};

&vm3_vdevs {

     vearlydata_fe {
         peer-phandle = <&vearlydata_be>;
         client;
         info = "vearlydata_ctrl";
     };

};
"""

VOGL = """
&vm2_vdevs {
                                       // vOpenGL back-end for VM3
   vogl_be: vogl@be {
        compatible = "vogl";
        info    = "vumem-pdev=128K", // vUMEM PDEV region size
                  ",vrpq-regs=128K", //max number of request in the ring buffer
                ", vrpq-pmem=2M"; // vRPQ PMEM region size
     server;                     // server end point
   };
};
&vm3_vdevs {
    vogl@fe {                    // vOpenGL front-end
     peer-phandle = <&vogl_be>;  // peer vLINK
     client;                     // client end point
    };
};
"""

VBPIPE = """
&vm2_vdevs {
    vbpipe24: vbpipe@be {
                                           // vbpipe back-end for VM4
        compatible = "vbpipe";
                                           // uses generic vbpipe protocol
        info = ";;;wakeup=250;name=vbpipe0";
   };
};
&vm4_vdevs {
    vbpipe@fe {                            // vbpipe front-end
                                           // peer vLINK
        peer-phandle = <&vbpipe24>;
        info = ";;;wakeup=250;name=vbpipe0";
    };
};
"""

INVALID = """
&invalid_region {
    reg = <0 0xd0000000 0x04000000>,
          <0 0xd4000000 0x04000000>;
};
"""

IO_MEMORY = """
/dts-v1/;

/ {
    compatible = "vl,vlm", "vl,vlm-exynos8890-aarch64", "vl,vlm-aarch64";
    #address-cells = <2>;
    #size-cells = <1>;
    // first region of shared memory
    vl,io-memory@d0000000-4000000 {
        compatible = "vl,io-memory";
        reg = <0x0 0xd0000000 0x4000000>;
        vl,allow-sharing;
        vl,attributes = <VDT_S2PTE_UPPER_MEM VDT_S2PTE_LOWER_DEV_MEM>;
    };
    // second region of shared memory
    vl,io-memory@d4000000-4000000 {
        compatible = "vl,io-memory";
        reg = <0x0 0xd4000000 0x4000000>;
        vl,allow-sharing;
        vl,attributes = <VDT_S2PTE_UPPER_MEM VDT_S2PTE_LOWER_DEV_MEM>;
    };
};
"""

ELSEWHERE = """
// first region of shared memory
vl,io-memory@800000000-4000000 {
    compatible = "vl,io-memory";
    reg = <0x0 0xd0000000 0x4000000>;
    vl,attributes = <VDT_S2PTE_UPPER_MEM VDT_S2PTE_LOWER_DEV_MEM>;
    ipa-base = <0x800000000>;
    vl,allow-sharing;
};
"""

IMPORT = """
// VPlatform snippet of VM2 (importer VM)
/ {
    vm-memory@3 { // reserve VM3 imported memory
        compatible = "vl,vm-memory";
        vl,vm-id = <3>;
    };
};
"""

GUEST_IMPORT = """
// Guest OS Device Tree snippet of VM2 (importer VM)
/ {
    reserved-memory {
        #address-cells = <2>;
        #size-cells = <1>;
        ranges;
        vm-memory@3 { // reserve VM3 imported memory
            compatible = "vl,vm-memory";
            reg = <0 0 0>;
            vl,vm-id = <3>;
        };
    };
};
"""
