// What the browser inside the WeChat app gives to a page: WeixinJSBridge, as far as paying goes. Load it on a page that
// is to be tried outside the app (as a script of this sandbox, or injected by a test with TONGBAO_SANDBOX set to the
// sandbox's address). It opens the sandbox's in-app cashier and comes back to the page with `err_msg` in its query;
// the real one calls the callback instead.
"use strict";

(() => {
  const source = document.currentScript && document.currentScript.src;
  const sandbox = window.TONGBAO_SANDBOX || (source ? new URL(source).origin : location.origin);
  window.WeixinJSBridge = {
    invoke(name, params, callback) {
      if (name !== "getBrandWCPayRequest") {
        callback({ err_msg: `${name}:fail` });
        return;
      }
      const asked = new URLSearchParams({ ...params, return_url: location.href });
      location.assign(`${sandbox}/wechatpay/jsapi?${asked}`);
    },
  };
  document.dispatchEvent(new Event("WeixinJSBridgeReady"));
})();
